"""The kitchen as a MuJoCo model: gymnasium-robotics' own, and the same without what costs time and changes nothing.

The lean model has the dynamics of the whole one to the last bit: the same masses, and the same contacts in the same
order. What it leaves out: what is only looked at; pairs of bodies that cannot meet (:data:`CONTACTS`); and boxes
around things that are far apart. It has the same joints, sites and controls, so a state fits both.
"""

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import mujoco

from lightning_skills.errors import InputError

XML = Path("envs/assets/kitchen_franka/kitchen_assets/kitchen_env_model.xml")
"""Where gymnasium-robotics has the model."""

COUNTERS: Mapping[str, int] = {
    "counters": 3,  # upper handles; the piece that keeps the name keeps the mass
    "low_handles": 3,
    "left_cupboard": 1,
    "right_cupboard": 1,
    "left_top": 1,
    "sink": 8,
    "faucet": 8,
}
"""Pieces of the counters, and how many geoms of theirs each takes, in order.

As one body, whose box spans the room, they were tested against all that moves. The pieces follow the order of the
geoms, so that contacts keep theirs.
"""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "far": ("world", "wallroot", "wall2", "low_handles", "faucet"),
    "door": ("hingerightdoor",),
    "kettle": ("kettleroot",),
    "base": ("", "panda0_link0"),
    "shoulder": ("panda0_link1", "panda0_link2"),
    "upper_arm": ("panda0_link3",),
    "elbow": ("panda0_link4",),
    "forearm": ("panda0_link5", "panda0_link6"),
    "hand": ("panda0_link7", "panda0_leftfinger", "panda0_rightfinger"),
}
"""Bodies by what they can touch; all others are ``"near"``. The robot's base has no name."""
NEAR = "near"

CONTACTS: Mapping[str, tuple[str, ...]] = {
    "kettle": ("far", "near", "door", "base", "shoulder", "upper_arm", "elbow", "forearm", "hand"),
    "near": ("forearm", "hand"),
    "door": ("upper_arm", "elbow", "forearm", "hand"),
    "base": ("elbow", "forearm", "hand"),
    "shoulder": ("forearm", "hand"),
    "upper_arm": ("hand",),
    "elbow": ("hand",),
    "forearm": ("hand",),
}
"""Groups that can touch; those within a group cannot, and no pair of fixtures.

The kettle can be thrown anywhere. The rest follows from lengths and joint limits. Seen from the shoulder's joint, the
hand ends within 1.08 m, and "far" begins beyond 1.1; the elbow ends within 0.52, and of the fixtures only the right
hinged door can swing to there. Links that are left out are kept apart by the limits of the joints between them.
"""

BOXED = ("panda0_link5", "panda0_link6")
"""Links that get a second geom, which touches nothing: MuJoCo compares boxes before it turns to meshes only for bodies
of several geoms."""


def whole() -> mujoco.MjModel:
    """The model as it is published, for pictures and comparisons. It takes a second to load.

    Raises:
        InputError: if gymnasium-robotics is not installed.
    """
    return mujoco.MjModel.from_xml_path(str(_path()))


@functools.cache
def lean() -> mujoco.MjModel:
    """The model to step. Shared by all who ask: not to be written to.

    Raises:
        InputError: if gymnasium-robotics is not installed.
    """
    spec = mujoco.MjSpec.from_file(str(_path()))
    spec.compiler.discardvisual = True
    _divide_counters(spec, spec.compile().body("counters"))
    _restrict_contacts(spec)
    for seen in (*spec.lights, *spec.cameras):
        spec.delete(seen)
    for name in BOXED:
        spec.body(name).add_geom(
            type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[1e-3, 0, 0], mass=0, contype=1 << len(_bits()), conaffinity=0
        )
    return spec.compile()


def group(body: str) -> str:
    """The group of a body in :data:`CONTACTS`."""
    return next((name for name, bodies in GROUPS.items() if body in bodies), NEAR)


def _path() -> Path:
    package = importlib.util.find_spec("gymnasium_robotics")
    path = Path(package.origin).parent / XML if package is not None and package.origin is not None else None
    if path is None or not path.is_file():
        raise InputError("the kitchen needs the model in gymnasium-robotics: pip install 'gymnasium-robotics==1.4.2'")
    return path


def _divide_counters(spec: mujoco.MjSpec, compiled: mujoco.MjModel) -> None:
    counters = spec.body("counters")
    geoms = _colliding(counters)
    first = COUNTERS["counters"]
    for name, count in list(COUNTERS.items())[1:]:
        piece = counters.parent.add_body(name=name, pos=counters.pos, quat=counters.quat)
        for geom in geoms[first : first + count]:
            _copy(geom, piece)
            spec.delete(geom)
        first += count
    counters.explicitinertial = True
    counters.mass, counters.inertia = compiled.mass[0], compiled.inertia
    counters.ipos, counters.iquat = compiled.ipos, compiled.iquat


def _copy(geom: mujoco.MjsGeom, body: mujoco.MjsBody) -> None:
    copied = body.add_geom(type=geom.type, size=geom.size, pos=geom.pos, quat=geom.quat, mass=0)
    copied.alt.type, copied.alt.euler = geom.alt.type, geom.alt.euler
    for name in ("contype", "conaffinity", "condim", "margin", "friction", "solref", "solimp"):
        setattr(copied, name, getattr(geom, name))


def _restrict_contacts(spec: mujoco.MjSpec) -> None:
    bits = _bits()
    for body in spec.bodies:
        own = group(body.name)
        for geom in _colliding(body):
            geom.contype = bits[own]
            geom.conaffinity = sum(bits[other] for other in CONTACTS.get(own, ()))


def _bits() -> dict[str, int]:
    return {name: 1 << index for index, name in enumerate((*GROUPS, NEAR))}


def _colliding(body: mujoco.MjsBody) -> list[mujoco.MjsGeom]:
    return [geom for geom in body.geoms if geom.contype or geom.conaffinity]
