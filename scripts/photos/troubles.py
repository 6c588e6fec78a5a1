"""Troubles while a run trains on photos: what it must say, and that nothing is lost."""
import os
import shutil
import subprocess

from .pictures import png_of
from .program import TINY, Failed, Skipped, cats_and_dogs, make, tensors

EPOCHS = 4
PHOTOS = 60  # of each class: an epoch is long enough to be halted within
START = [*TINY, "--epochs", str(EPOCHS), "--batch-size", "8", "--workers", "1", "--out", "run"]
LOST = "can be read any more"


class Lab:
    """A folder with photos, in which runs are disturbed."""

    def __init__(self, program, folder, ordinary=False):
        self.program, self.folder, self.ordinary = program, folder, ordinary
        self.photos, self.cache = folder / "photos", folder / "cache"
        make(self.photos, cats_and_dogs(PHOTOS))
        if ordinary:
            self.give(folder, self.photos)

    def give(self, *paths):
        for path in paths:
            os.chown(path, *self.program.ordinary)

    def start(self, *options, before=()):
        return self.program.start(
            self.folder, "train", "photos", *START, *options, before=before, ordinary=self.ordinary)

    def resume(self, *options):
        words = ["train", "--resume", "run", "--threads", "1", "--workers", "1", *options]
        return self.program.run(self.folder, *words, ordinary=self.ordinary)

    def on_disk(self):
        return ["--cache", self.cache]

    def cached(self):
        """Bytes in the cache."""
        return sum(file.stat().st_size for file in self.cache.glob("*.photos"))

    def is_same(self):
        """Whether the run ended with the tensors of an undisturbed one."""
        whole = self.folder.parent / "whole"
        if not whole.exists():
            make(whole / "photos", cats_and_dogs(PHOTOS))
            self.program.run(whole, "train", "photos", *START, "--cache", "none").expect(0)
        return tensors(self.folder / "run/last.safetensors") == tensors(whole / "run/last.safetensors")

    def same(self):
        if not self.is_same():
            raise Failed("the tensors differ from those of an undisturbed run")
        return "equal bits"

    def other(self):
        if self.is_same():
            raise Failed("the tensors are those of an undisturbed run: the trouble had no effect")
        return "other bits"


def killed_while_caching(lab):
    run = lab.start(*lab.on_disk())
    run.wait_until(lambda: lab.cached() > 20_000, "photos in the cache")
    if run.kill().line("epoch 1:"):
        raise Failed("the first epoch was over")
    # A write may be cut off, or never have reached the disk.
    file = next(lab.cache.glob("*.photos"))
    whole = bytearray(file.read_bytes())
    whole[5000] ^= 1
    file.write_bytes(whole[:-100])
    seen = lab.resume(*lab.on_disk()).expect(0, "is damaged: its photos are decoded again")
    return f"{lab.same()}; {seen}"


def killed_between_epochs(lab):
    run = lab.start(*lab.on_disk())
    run.wait_for("epoch 2:")
    run.kill()
    lab.resume(*lab.on_disk()).expect(0)
    return lab.same()


def interrupted(lab):
    run = lab.start()
    run.wait_for("epoch 1:")
    run.process.send_signal(2)
    seen = run.end()
    # As a shell has it: 128 + SIGINT.
    if seen.code != 130 or not seen.line("--resume run"):
        raise Failed(f"exit code {seen.code}, or no line says how to resume\n{seen.text}")
    lab.resume().expect(0)
    return f"{lab.same()}; {seen.line('--resume run')}"


def more_photos_before_resuming(lab):
    run = lab.start()
    run.wait_for("epoch 1:")
    run.kill()
    make(lab.photos, cats_and_dogs(3, "new ", 900))
    make(lab.photos, cats_and_dogs(3, first=900, under="", classes=["owl"]))
    lab.resume().expect(0)
    return lab.same()


def full_disk(lab):
    lab.cache.mkdir()
    mount = 'mount -t tmpfs -o size=200k none "$0" && exec "$@"'
    before = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, lab.cache]
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise Skipped("no small disk can be mounted here") from None
    run = lab.start(*lab.on_disk(), before=before)
    seen = run.end().expect(0, "takes no more photos (No space left on device (os error 28))")
    return f"{lab.same()}; {seen}"


def full_cache(lab):
    seen = lab.start(*lab.on_disk(), "--cache-size", "200K").end().expect(0, "is full", "--cache-size")
    if lab.cached() > 200_000:
        raise Failed(f"the cache has {lab.cached()} bytes")
    return f"{lab.same()}; {seen}"


def read_only_cache(lab):
    lab.cache.mkdir()
    lab.give(lab.cache)
    lab.cache.chmod(0o555)
    run = lab.start(*lab.on_disk())
    seen = run.end().expect(0, "Permission denied", "decoded in every epoch")
    return f"{lab.same()}; {seen}"


def cache_below_a_file(lab):
    lab.cache.write_bytes(b"x")
    run = lab.start("--cache", lab.cache / "photos")
    seen = run.end().expect(0, "cannot be used (Not a directory (os error 20))", "decoded in every epoch")
    return f"{lab.same()}; {seen}"


def cache_deleted(lab):
    run = lab.start(*lab.on_disk())
    run.wait_for("epoch 1:")
    shutil.rmtree(lab.cache)
    run.end().expect(0)
    return lab.same()


def photo_deleted(lab):
    run = lab.start()
    run.wait_for("epoch 1:")
    (lab.photos / "cat/7.png").unlink()
    seen = run.end().expect(0, "cat/7.png cannot be read: No such file or directory (os error 2); it is left out")
    return f"{lab.other()}; {seen}"


def photo_changed(lab):
    run = lab.start()
    run.wait_for("epoch 1:")
    (lab.photos / "cat/7.png").write_bytes(png_of(20, 20, bytes(61 * 20)))
    seen = run.end().expect(0, "cat/7.png has changed since the run began to read it: from now on it is used")
    return f"{lab.other()}; {seen}"


def photo_damaged(lab):
    run = lab.start(*lab.on_disk())
    run.wait_for("epoch 1:")
    (lab.photos / "cat/7.png").write_bytes(b"")
    seen = run.end().expect(0, "cat/7.png is empty; it is left out")
    return f"{lab.other()}; {seen}"


def photo_becomes_a_pipe(lab):
    run = lab.start()
    run.wait_for("epoch 1:")
    (lab.photos / "cat/7.png").unlink()
    os.mkfifo(lab.photos / "cat/7.png")
    seen = run.end().expect(0, "cat/7.png", "it is left out")
    return f"{lab.other()}; {seen}"


def folder_moved(lab):
    run = lab.start()
    run.wait_for("epoch 2:")
    away = lab.photos.rename(lab.folder / "away")
    seen = run.end().expect(1, LOST, "the run is saved", "resume with --resume run")
    lab.resume().expect(1, "photos")
    away.rename(lab.photos)
    lab.resume().expect(0)
    return f"{lab.same()}; {seen}"


def folder_forbidden(lab):
    run = lab.start()
    run.wait_for("epoch 2:")
    lab.photos.chmod(0)
    seen = run.end().expect(1, LOST, "Permission denied", "resume with --resume run")
    lab.photos.chmod(0o755)
    lab.resume().expect(0)
    return f"{lab.same()}; {seen}"


CASES = {
    "killed while it fills the cache": killed_while_caching,
    "killed between epochs": killed_between_epochs,
    "interrupted": interrupted,
    "more photos before it is resumed": more_photos_before_resuming,
    "a full disk for the cache": full_disk,
    "a full cache": full_cache,
    "a cache that is read-only": read_only_cache,
    "a cache below a file": cache_below_a_file,
    "a cache that is deleted": cache_deleted,
    "a photo that is deleted": photo_deleted,
    "a photo that changes": photo_changed,
    "a photo that is damaged": photo_damaged,
    "a photo that becomes a pipe": photo_becomes_a_pipe,
    "a folder that is moved away": folder_moved,
    "a folder that may not be read any more": folder_forbidden,
}
ORDINARY = (read_only_cache, folder_forbidden)


def run(trouble, program, folder):
    folder.mkdir()
    return trouble(Lab(program, folder, trouble in ORDINARY))
