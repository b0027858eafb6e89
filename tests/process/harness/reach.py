"""Files that every user can reach."""
import atexit
import os
import shutil
import tempfile


def for_all(paths):
    """These files or folders; where other users may not go to them (a clone in a home of mode 0700), copies where they may, while
    this test runs."""
    way = os.path.dirname(paths[0])
    while way != "/" and os.stat(way).st_mode & 1:
        way = os.path.dirname(way)
    if way == "/" or os.geteuid() != 0 or not all(os.path.exists(path) for path in paths):
        return paths
    folder, owner = tempfile.mkdtemp(prefix="weirtest.reach."), os.getpid()
    os.chmod(folder, 0o755)
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(folder, ignore_errors=True))
    return [shutil.copytree(path, os.path.join(folder, os.path.basename(path))) if os.path.isdir(path) else shutil.copy2(path, folder)
            for path in paths]
