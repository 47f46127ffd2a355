"""Calibration files as other programs write them, made from a Rig."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from accel import Rig


def pose2sim_toml(rig: Rig) -> str:
    """What Pose2Sim writes: a table named like its camera, four terms, a Rodrigues vector."""
    text = ""
    for i, name in enumerate(rig.names):
        K, dist, t = rig.K[i].tolist(), rig.dist[i, :4].tolist(), rig.t[i].tolist()
        rodrigues = cv2.Rodrigues(rig.R[i])[0].ravel().tolist()
        width, height = rig.size[i].tolist()
        text += (
            f'[{name}]\nname = "{name}"\nsize = [ {width}, {height}]\nmatrix = {K}\n'
            f"distortions = {dist}\nrotation = {rodrigues}\ntranslation = {t}\nfisheye = false\n\n"
        )
    return text + "[metadata]\nadjusted = false\nerror = 0.0\n"


def qualisys_text(rig: Rig) -> str:
    """What QTM exports: XML, millimetres, 1/64 px, the video's own origin at 3, 5."""
    cameras = ""
    for i, name in enumerate(rig.names):
        M = np.diag([1.0, -1.0, -1.0]) @ rig.R[i]
        x, y, z = (1000.0 * rig.centers_m[i]).tolist()
        rotation = " ".join(f'r{a + 1}{b + 1}="{M[a, b]!r}"' for a in range(3) for b in range(3))
        rotation = rotation.replace("np.float64(", "").replace(")", "")
        fx, fy = (64 * rig.K[i, [0, 1], [0, 1]]).tolist()
        cx, cy = (64 * (rig.K[i, :2, 2] + [3, 5])).tolist()
        k1, k2, p1, p2, _ = (64 * rig.dist[i]).tolist()
        width, height = rig.size[i].tolist()
        cameras += (
            f'<camera active="1" model="Miqus Video" serial="{name}" viewrotation="0">'
            f'<fov_video left="3" top="5" right="{width + 2:.0f}" bottom="{height + 4:.0f}"/>'
            f'<transform x="{x!r}" y="{y!r}" z="{z!r}" {rotation}/>'
            f'<intrinsic focalLengthU="{fx!r}" focalLengthV="{fy!r}" centerPointU="{cx!r}" '
            f'centerPointV="{cy!r}" skew="0" radialDistortion1="{k1!r}" radialDistortion2="{k2!r}" '
            f'radialDistortion3="0" tangentalDistortion1="{p1!r}" tangentalDistortion2="{p2!r}"/>'
            "</camera>\n"
        )
    head = "<?xml version='1.0' encoding='ASCII'?>\n<calibration>\n<cameras>\n"
    return f"{head}{cameras}</cameras>\n</calibration>\n"


def write_opencv_pair(rig: Rig, folder: Path, *, sizes: bool = True, matrices: bool = True) -> None:
    """intri.yml and extri.yml by OpenCV itself, with EasyMocap's keys."""
    inner = cv2.FileStorage(str(folder / "intri.yml"), cv2.FILE_STORAGE_WRITE)
    outer = cv2.FileStorage(str(folder / "extri.yml"), cv2.FILE_STORAGE_WRITE)
    for storage in (inner, outer):
        storage.startWriteStruct("names", cv2.FileNode_SEQ)
        for name in rig.names:
            storage.write("", name)
        storage.endWriteStruct()
    for i, name in enumerate(rig.names):
        inner.write(f"K_{name}", rig.K[i].copy())
        inner.write(f"dist_{name}", rig.dist[i : i + 1].copy())
        if sizes:
            inner.write(f"W_{name}", int(rig.size[i, 0]))
            inner.write(f"H_{name}", int(rig.size[i, 1]))
        outer.write(f"R_{name}", cv2.Rodrigues(rig.R[i])[0])
        if matrices:
            outer.write(f"Rot_{name}", rig.R[i].copy())
        outer.write(f"T_{name}", rig.t[i].reshape(3, 1).copy())
    inner.release()
    outer.release()


def write_colmap(rig: Rig, folder: Path, unit_m: float) -> None:
    """cameras.txt (OPENCV, four terms) and images.txt with an empty line of points each."""
    cameras = "# Camera list with one line of data per camera:\n"
    images = "# Image list with two lines of data per image:\n"
    for i, name in enumerate(rig.names):
        K, (k1, k2, p1, p2, _) = rig.K[i], rig.dist[i].tolist()
        width, height = rig.size[i].tolist()
        terms = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], k1, k2, p1, p2]
        numbers = " ".join(repr(float(term)) for term in terms)
        cameras += f"{i + 1} OPENCV {width:.0f} {height:.0f} {numbers}\n"
        pose = [*quaternion(rig.R[i]), *(rig.t[i] / unit_m).tolist()]
        words = " ".join(repr(float(value)) for value in pose)
        images += f"{i + 1} {words} {i + 1} {name}.png\n\n"
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)


def quaternion(R: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    """w, x, y, z by way of OpenCV's rotation vector."""
    vector = cv2.Rodrigues(R)[0].ravel()
    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle else vector
    return [float(np.cos(angle / 2)), *(np.sin(angle / 2) * axis).tolist()]
