"""The kit: everything that was learnt before a score is taken, frozen in one folder with one digest.

Distribution metrics are no better than their encoders, and differ by orders of magnitude between encoders. So the
encoders, the normaliser and what controls are made from are trained once on the training split of a release by
`csg405 benchmark kit train`, and a score names the digest of the kit that it was taken with. A kit is a folder:

- `kit.json`: the format's version, the release's digest, the settings, and how the training went;
- `normaliser.npz`: mean and deviation of every number, the mean pose;
- `bank.npz`: some training clips, from which controls are made;
- `weights.safetensors`: the encoders, some seeds of each, of which scores are taken with the first.

Nothing in a kit is a program.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from csg405.benchmark.clip import Clip, Seen, Sound
from csg405.benchmark.kit.bank import Bank
from csg405.benchmark.kit.hearing import heard
from csg405.benchmark.kit.parts import GESTURE, POINTS, Normaliser, channels, numbers_of
from csg405.errors import UserError
from csg405.schema import FloatArray

FORMAT = 1

FILES = ("kit.json", "normaliser.npz", "bank.npz", "weights.safetensors")


@dataclasses.dataclass(frozen=True)
class Kit:
    """A kit that was read; see the head of this file."""

    folder: Path
    encoder: int = 0
    """Which seed of the encoders is used."""

    @classmethod
    def open(cls, folder: Path, *, encoder: int = 0) -> Kit:
        """The kit in a folder.

        Raises:
            UserError: there is none, or of another format.
        """
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"{folder} holds no kit: {', '.join(missing)} missing; make one with `csg405 benchmark kit train`"
            )
        kit = cls(folder, encoder)
        found = kit.facts.get("format")
        if found != FORMAT:
            raise UserError(f"{folder / 'kit.json'}: format {found}, and this csg405 reads {FORMAT}")
        if not 0 <= encoder < kit.facts["encoders"]:
            raise UserError(f"encoder {encoder}: the kit has {kit.facts['encoders']}")
        return kit

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """What `kit.json` says."""
        try:
            facts = json.loads((self.folder / "kit.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{self.folder / 'kit.json'}: {error}") from error
        if not isinstance(facts, dict):
            raise UserError(f"{self.folder / 'kit.json'}: wanted an object")
        return facts

    @functools.cached_property
    def digest(self) -> str:
        """Of all its files, and of which encoder is used: another one gives other values."""
        held = hashlib.sha256(f"encoder {self.encoder}".encode())
        for name in FILES:
            held.update(hashlib.sha256((self.folder / name).read_bytes()).digest())
        return held.hexdigest()

    @functools.cached_property
    def normaliser(self) -> Normaliser:
        """Mean and deviation of the training split."""
        return Normaliser(self._arrays["mean"], self._arrays["deviation"])

    @property
    def mean_pose(self) -> FloatArray:
        """[133, 2] mean of the training split's points, in shoulder widths from the neck."""
        return np.asarray(self._arrays["mean_pose"], np.float32)

    @property
    def hit(self) -> float:
        """Least deceleration of a beat, shoulder widths/s^2: see `csg405.benchmark.metrics.ba_kappa`."""
        return float(self.facts["hit"])

    @functools.cached_property
    def bank(self) -> Bank:
        """Training clips that controls are made from."""
        with np.load(self.folder / "bank.npz", allow_pickle=False) as held:
            return Bank(**{name: held[name] for name in held.files})

    def features(self, seen: Seen) -> dict[str, FloatArray]:
        """Features of a motion by part: [windows, 32] each, of unit deviation over the training split."""
        return self.features_of([seen])[0]

    def features_of(self, seens: Sequence[Seen]) -> list[dict[str, FloatArray]]:
        """The features of several motions."""
        numbers = [self.normaliser(seen) for seen in seens]
        found: list[dict[str, FloatArray]] = [{} for _ in seens]
        for part, points in POINTS.items():
            cut = [channels(held, points) for held in numbers]
            ends = np.cumsum([len(pieces) for pieces in cut])[:-1]
            for features, own in zip(found, np.split(self._features(part, np.concatenate(cut)), ends), strict=True):
                features[part] = own
        return found

    def together(self, seens: Sequence[Seen]) -> list[Seen]:
        """Motions for one clip with their features, which are taken at once, and once of a motion that comes twice."""
        different = {id(seen.keypoints_px): seen for seen in seens}
        features = dict(zip(different, self.features_of(list(different.values())), strict=True))
        return [dataclasses.replace(seen, known=features[id(seen.keypoints_px)]) for seen in seens]

    def directions(self, seen: Seen) -> tuple[FloatArray, FloatArray]:
        """Directions of the frames of a motion and of its clip's sound: [n, 32] each."""
        import torch

        towers = self._towers
        with torch.inference_mode():
            motion = towers.motion(torch.from_numpy(numbers_of(self.normaliser(seen), GESTURE))[None])[0].numpy()
        return motion, self.directions_of_sound(seen.clip.sound)

    def directions_of_sound(self, sound: Sound) -> FloatArray:
        """Directions of a sound's frames: [n, 32]."""
        import torch

        with torch.inference_mode():
            found = self._towers.sound(torch.from_numpy(heard(sound))[None])[0].numpy()
        return np.asarray(found, np.float32)

    @property
    def has_towers(self) -> bool:
        """Whether the two-tower network was trained."""
        return bool(self.facts["towers"])

    @functools.cached_property
    def _arrays(self) -> dict[str, FloatArray]:
        with np.load(self.folder / "normaliser.npz", allow_pickle=False) as held:
            return {name: held[name] for name in held.files}

    @functools.cached_property
    def _weights(self) -> dict[str, Any]:
        from safetensors.torch import load_file

        return load_file(self.folder / "weights.safetensors")

    @functools.cached_property
    def _autoencoders(self) -> dict[str, Any]:
        from csg405.benchmark.kit.networks import Autoencoder

        return {
            part: self._filled(Autoencoder(2 * len(points), width=self.facts["width"]), f"{part}.{self.encoder}.")
            for part, points in POINTS.items()
        }

    @functools.cached_property
    def _towers(self) -> Any:
        from csg405.benchmark.kit.hearing import NUMBERS
        from csg405.benchmark.kit.networks import TwoTower

        network = TwoTower(2 * len(GESTURE), NUMBERS, width=self.facts["tower_width"])
        return self._filled(network, f"towers.{self.encoder}.")

    def _filled(self, network: Any, prefix: str) -> Any:
        held = {name.removeprefix(prefix): value for name, value in self._weights.items() if name.startswith(prefix)}
        network.load_state_dict(held)
        return network.eval()

    def _features(self, part: str, cut: FloatArray) -> FloatArray:
        import torch

        if not len(cut):
            return np.zeros((0, 32), np.float32)
        with torch.inference_mode():
            found = self._autoencoders[part].encode(torch.from_numpy(cut).transpose(1, 2)).numpy()
        mean, deviation = (self._arrays[f"{part}.{self.encoder}.{name}"] for name in ("mean", "deviation"))
        return np.asarray((found - mean) / deviation, np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Workers get the folder, and read it themselves."""
        return {"folder": self.folder, "encoder": self.encoder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def shown_mean_pose(clip: Clip, kit: Kit) -> FloatArray:
    """The mean pose of the training split as this clip's person would hold it: [n, 133, 2] px."""
    pose = kit.mean_pose * clip.shoulders_px + clip.neck_px
    return np.repeat(pose[None].astype(np.float32), len(clip), axis=0)
