"""Framing, light, exposure, noise and JPEG, all chosen without knowing the kind of animal."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from drawn_animals.anatomy import Species
from drawn_animals.camera import Camera
from drawn_animals.figure import Figure, Part
from drawn_animals.filters import gaussian, laplacian
from drawn_animals.foreground import foreground
from drawn_animals.light import Light, ground_shadow
from drawn_animals.render import render
from drawn_animals.scenes import SCENES, Scene
from drawn_animals.space import Array, Rng, dot, portable, transform, turn, unit, vector

LUMA = np.array((0.299, 0.587, 0.114), np.float32)
MAX_POWER, MAX_STRETCH, MAX_TINT, MAX_SHARPENING = 1.8, 1.7, 1.1, 2.0


@dataclass(frozen=True)
class Shot:
    """All that is chosen about a picture except for the animal."""

    size: tuple[int, int]
    """Width and height in px."""
    azimuth: float
    """Where the camera stands, in degrees from the animal's front."""
    pitch: float
    """How far the camera looks down, in degrees."""
    framing: str
    """`whole`, `face` or `far`."""
    fill: float
    """How much of the picture the animal or its face takes, as a share of the limiting side."""
    offset: tuple[float, float]
    """Where in the free space the animal stands, −1 to 1 in x and y."""
    empty_draw: float
    """Uniform in [0, 1): whether a picture of `other` shows no animal."""
    scene: str
    """A key of `SCENES`."""
    quality: int
    """Of the JPEG."""
    subsampling: int
    """Of the JPEG's colors, as Pillow counts: 0 is 4:4:4, 2 is 4:2:0."""
    brightness: float
    """Mean luma of the picture."""
    balance: tuple[float, float, float]
    """White balance: the tint of the picture relative to the background's."""
    contrast: float
    """Standard deviation of the luma, of 1."""
    sharpness: float
    """Standard deviation of the luma's Laplacian, of 1, before the noise."""
    noise: float
    """Standard deviation of the sensor's noise, of 1."""
    mirrored: bool


def plan(rng: Rng) -> Shot:
    """Return a random shot; the same distribution for every kind."""
    long_side = int(rng.integers(220, 421))
    aspect = float(rng.choice((1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 5 / 4, 4 / 5)))
    short_side = max(round(long_side * min(aspect, 1 / aspect)), 200)
    framing = str(rng.choice(("whole", "face", "far"), p=(0.5, 0.32, 0.18)))
    scene = str(rng.choice(list(SCENES)))
    low, high = {"whole": (0.68, 0.95), "face": (0.42, 0.66), "far": (0.34, 0.55)}[framing]
    return Shot(
        size=(long_side, short_side) if aspect >= 1 else (short_side, long_side),
        azimuth=float(rng.uniform(-70, 70)),
        pitch=float(rng.uniform(4, 24)),
        framing=framing,
        fill=float(rng.uniform(low, high)),
        offset=(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.5, 0.8))),
        empty_draw=float(rng.random()),
        quality=int(rng.integers(40, 96)),
        subsampling=int(rng.choice((0, 2))),
        scene=scene,
        brightness=SCENES[scene].brightness * float(rng.uniform(0.8, 1.2)),
        balance=(1 + float(rng.normal(0, 0.03)), 1.0, 1 + float(rng.normal(0, 0.03))),
        contrast=float(rng.uniform(0.15, 0.25)),
        sharpness=float(np.exp(rng.uniform(np.log(0.02), np.log(0.09)))),
        noise=float(rng.uniform(0.002, 0.03)),
        mirrored=bool(rng.random() < 0.5),
    )


def aim(shot: Shot, figure: Figure, size: tuple[int, int]) -> Camera:
    """Return a camera that shows the figure as planned in a picture of `size` (w, h) px."""
    width, height = size
    rotation = turn(shot.azimuth, shot.pitch).T
    subject = figure.solids() + [solid for _, solid in figure.features]
    target = vector((0, 0.8, 0))
    if shot.framing == "face":
        subject = Part((0, 0.15, 0), (1.25, 1.25, 1.25)).solids(figure.head)
        target = figure.head.origin
    rough = Camera(rotation, target, 9.0, 100.0, (0.0, 0.0))
    left, top, right, bottom = rough.bounds(subject)
    zoom = shot.fill * min(width / (right - left), height / (bottom - top))
    free_x, free_y = width - zoom * (right - left), height - zoom * (bottom - top)
    x = width / 2 - zoom * (left + right) / 2 + shot.offset[0] * free_x / 2
    y = height / 2 - zoom * (top + bottom) / 2 + shot.offset[1] * free_y / 2
    return Camera(rotation, target, 9.0, 100.0 * zoom, (x, y))


def illuminate(rng: Rng, scene: Scene) -> Light:
    """Return a light from above and in front, tinted by the scene."""
    direction = unit((rng.uniform(-0.9, 0.9), rng.uniform(0.35, 1.0), rng.uniform(0.3, 1.0)))
    warmth = rng.normal(0, 0.05)
    key = rng.uniform(0.45, 0.75) * vector((1 + warmth, 1, 1 - warmth))
    ambient = rng.uniform(0.42, 0.6)
    return Light(direction, key, ambient * vector(scene.sky), 0.55 * ambient * vector(scene.ground))


def photograph(species: Species, rng: Rng, shot: Shot, *, empty: bool = False) -> bytes:
    """Return a JPEG of one animal of the species, or of its place without it."""
    width, height = shot.size
    large = (2 * width, 2 * height)
    figure = species(rng, shot.azimuth)
    camera = aim(shot, figure, large)
    feet = camera.pixel(vector((0, 0, -1.5)))[1] / large[1]
    horizon = float(np.clip(feet - rng.uniform(0.02, 0.25), 0.12, 0.85))
    scene = SCENES[shot.scene]
    blur_px = rng.uniform(0, 0.012) * max(width, height)
    backdrop = scene.background(rng, shot.size, horizon, blur_px)
    light = illuminate(rng, scene)
    picture = backdrop
    if not empty:
        shadow = ground_shadow(
            figure, camera.scaled(0.5), transform(camera.rotation.T, light.direction), shot.size
        )
        colors, opacity = render(figure, camera, light, large, rng)
        picture = picture * (1 - shadow) * (1 - shrink(opacity)) + shrink(colors)
    if rng.random() < 0.3:
        colors, opacity = foreground(rng, shot.size, rng.uniform(0, 0.008) * width)
        picture = picture * (1 - opacity) + colors
    return develop(picture, backdrop, rng, shot)


def shrink(pixels: Array) -> Array:
    """Return (…, h, w) pixels averaged two by two."""
    rows = pixels[..., ::2, :] + pixels[..., 1::2, :]
    small: Array = (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)
    return small


def develop(picture: Array, reference: Array, rng: Rng, shot: Shot) -> bytes:
    """Return the (3, h, w) picture as a JPEG.

    Brightness, contrast and sharpness are brought to those of the shot, the mean tint to that of
    `reference`, the background alone: so none of them says anything about the animal.
    """
    tint = reference.mean((1, 2)) * vector(shot.balance)
    wanted = shot.brightness * tint / dot(LUMA, tint)
    picture = expose(np.clip(picture, 0, 1), wanted, shot.contrast)
    picture = focus(picture, shot.sharpness)
    picture += shot.noise * rng.standard_normal(picture.shape, dtype=np.float32)
    image = Image.fromarray(
        (np.clip(picture, 0, 1).transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
    )
    if shot.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=shot.quality, subsampling=shot.subsampling)
    return buffer.getvalue()


def expose(picture: Array, wanted: Array, contrast: float) -> Array:
    """Return the picture with the wanted mean color and standard deviation of its luma.

    Gamma sets the brightness, gains the color and a stretch the contrast, each within its limit.
    """
    small = picture[:, ::3, ::3]
    power, stretch, gains = 1.0, 1.0, np.ones((3, 1, 1), np.float32)
    middle = float(dot(LUMA, wanted))

    def apply(pixels: Array) -> Array:
        lit = portable(np.power, pixels, power) * gains
        exposed: Array = np.clip((lit - middle) * stretch + middle, 0, 1)
        return exposed

    for _ in range(5):
        luma = dot(LUMA, apply(small))
        stretch = float(
            np.clip(stretch * contrast / max(luma.std(), 0.02), 1 / MAX_STRETCH, MAX_STRETCH)
        )
        mean = apply(small).mean((1, 2))
        level = float(np.clip(dot(LUMA, mean), 0.02, 0.98))
        power = float(np.clip(power * np.log(middle) / np.log(level), 1 / MAX_POWER, MAX_POWER))
        missing = (wanted / middle) / (mean / level)
        gains *= portable(np.power, missing, 0.7)[:, None, None]
        gains = np.clip(gains, 1 / MAX_TINT, MAX_TINT)
    return apply(picture)


def focus(picture: Array, sharpness: float) -> Array:
    """Return the picture blurred or sharpened until its luma's Laplacian has the wanted deviation.

    `sharpness` is that standard deviation; sharpening ends at its limit.
    """
    luma = dot(LUMA, picture)
    now = laplacian(luma)
    if now.std() > sharpness:
        sigmas, values = [0.0], [float(now.std())]
        while values[-1] > sharpness and sigmas[-1] < 2:
            sigmas.append(1.4 * sigmas[-1] + 0.35)
            values.append(float(laplacian(gaussian(luma, sigmas[-1])).std()))
        sigma = float(np.interp(-np.log(sharpness), -np.log(values), sigmas))
        softer: Array = gaussian(picture, sigma)
        return softer
    blurred = gaussian(picture, 1.0)
    edges = picture - blurred
    gained = laplacian(dot(LUMA, edges))
    a, b, c = gained.var(), (now * gained).mean(), now.var() - sharpness**2
    amount = float((np.sqrt(max(b * b - a * c, 0)) - b) / max(a, 1e-9))
    sharper: Array = picture + min(amount, MAX_SHARPENING) * edges
    return sharper
