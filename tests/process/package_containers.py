#!/usr/bin/python3
"""The Kubernetes manifests, done by hand: each container's command runs, as its user and with its volumes, in a Debian of its own that
stands for its image; what they promise holds for a server that knows nothing of weir."""
# timeout: 600
import json
import os
import re
import shutil
import subprocess

import weirtest
from harness import bpf, fresh_root
from harness.deb import Package, base_of

NGINX = """worker_processes 2; pid /tmp/nginx.pid; error_log stderr; events { worker_connections 64; }
http { access_log off; client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp; uwsgi_temp_path /tmp; scgi_temp_path /tmp;
       server { listen 127.0.0.1:8080; location / { return 200 "ok\\n"; } } }
"""
ADDRESS = ("127.0.0.1", 8080)


def documents(name):
    weirtest.need("/usr/lib/python3/dist-packages/yaml/__init__.py")
    program = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"
    with open(os.path.join(weirtest.ROOT, "packaging", "kubernetes", name)) as file:
        text = subprocess.run(["/usr/bin/python3", "-c", program], stdin=file, capture_output=True, text=True, check=True).stdout
    return {one["kind"]: one for one in json.loads(text)}


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


class ConfigMap:
    """A volume as the kubelet makes and changes it: the files are links through one link that is swapped."""

    def __init__(self, path, data):
        self.path, self.count = path, 0
        os.makedirs(path)
        self.put(data)

    def put(self, data):
        self.count += 1
        folder = os.path.join(self.path, "..%d" % self.count)
        os.mkdir(folder)
        for name, text in data.items():
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
            if not os.path.islink(os.path.join(self.path, name)):
                os.symlink("..data/" + name, os.path.join(self.path, name))
        os.symlink("..%d" % self.count, os.path.join(self.path, "..data_tmp"))
        os.replace(os.path.join(self.path, "..data_tmp"), os.path.join(self.path, "..data"))


class Pod:
    def __init__(self, box, spec, volumes, images, lower):
        self.box, self.spec, self.volumes, self.images, self.lower = box, spec, volumes, images, lower

    def container(self, container):
        """What runs it: in its root, with its volumes, user, capabilities and environment."""
        root = fresh_root.Root(self.box, self.lower)
        self.images[container["image"]](root)
        root.chroot()
        for mount in container.get("volumeMounts", []):
            place = root.at(mount["mountPath"])
            os.makedirs(place, exist_ok=True)
            subprocess.run(["mount", "--bind", self.volumes[mount["name"]], place], check=True)
            if mount.get("readOnly"):
                subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        context = dict(self.spec.get("securityContext", {}), **container.get("securityContext", {}))
        line = ["setpriv", "--reuid", str(context.get("runAsUser", 0)), "--regid", str(context.get("runAsGroup", 0)), "--clear-groups"]
        if "capabilities" in context:
            kept = ",".join("+" + name.lower() for name in context["capabilities"].get("add", []))
            line += ["--bounding-set", "-all" + ("," + kept if kept else ""), "--inh-caps", "-all" + ("," + kept if kept else "")]
        if context.get("allowPrivilegeEscalation") is False:
            line += ["--no-new-privs"]
        values = ["%s=%s" % (one["name"], one["value"]) for one in container.get("env", [])]
        command = container.get("command", self.box.entrypoint[container["image"]]) + container.get("args", [])
        return root, root.command(*line, "env", *values, *command)

    def start(self, name):
        for one in self.spec.get("initContainers", []):
            if one["name"] == name:
                root, line = self.container(one)
                subprocess.run(line, check=True)
                return root, None
        one = [one for one in self.spec["containers"] if one["name"] == name][0]
        root, line = self.container(one)
        return root, self.box.start(name, line)


def weir_image(package):
    """As packaging/container/Dockerfile makes it: the package, and the library at a place without the architecture in its name."""
    with open(os.path.join(weirtest.ROOT, "packaging", "container", "Dockerfile")) as file:
        text = file.read()
    link = re.search(r"&& (ln \S+ \S+)", text).group(1).split()
    assert re.search(r"^FROM debian:bookworm-slim$", text, re.M) and "/tmp/weir_*_amd64.deb" in text

    def fill(root):
        shutil.copy(package.first, root.at("/srv/weir.deb"))
        root.run("dpkg", "-i", "/srv/weir.deb")
        root.run(*link)
    return fill


def shop_image(root):
    assert not os.path.exists(root.at("/usr/bin/weir"))
    root.write("/etc/nginx/nginx.conf", NGINX)


def folder(box, name, owner=0, mode=0o755):
    path = os.path.join(box.path, name)
    os.mkdir(path)
    os.chmod(path, mode)
    os.chown(path, owner, owner)
    return path


def limited(text, count):
    """The rules of a manifest with another limit."""
    return {name: re.sub(r'"count": \d+', '"count": %d' % count, rules) for name, rules in text.items()}


def serves(box, pod, rules, text):
    """The server under its agent: protected from its first request on, and an edit of the ConfigMap reaches it."""
    pod.start("weir")
    server = pod.start("shop")[1]
    weirtest.until(lambda: weirtest.listening(ADDRESS) or not server.running(), "the server to listen")
    assert server.running(), server.output()
    assert weirtest.ask(ADDRESS).status == 200
    rules.put(limited(text, 0))
    weirtest.until(lambda: weirtest.ask(ADDRESS).status == 429, "the limit")
    rules.put(text)
    weirtest.until(lambda: weirtest.ask(ADDRESS).status == 200, "the limit to be lifted")
    box.end()


def images(package):
    return {"weir": weir_image(package), "shop": shop_image}


def sandbox():
    box = weirtest.Sandbox()
    box.entrypoint = {"weir": ["/usr/sbin/weir-agent"], "shop": ["nginx", "-g", "daemon off;"]}
    return box


def an_agent_a_node():
    package = Package.get()
    lower = base_of(package)
    agent, protected = documents("agent.yaml"), documents("protected.yaml")
    text = agent["ConfigMap"]["data"]
    with sandbox() as box, bpf.Place(box) as place:
        rules = ConfigMap(os.path.join(box.path, "rules"), text)
        pins = folder(box, "pins")
        fresh_root.own_mounts()
        subprocess.run(["mount", "-t", "bpf", "bpf", pins], check=True)
        box.at_end(lambda: subprocess.run(["umount", "-l", pins]))
        volumes = {"run": folder(box, "run"), "state": folder(box, "state"), "rules": rules.path, "bpf": pins, "cgroup": place.cgroup}
        root, program = Pod(box, pod_of(agent["DaemonSet"]), volumes, images(package), lower).start("agent")
        weirtest.until(lambda: box.agent_answers() or not program.running(), "the agent")
        assert program.running(), program.output()
        root.run(*pod_of(agent["DaemonSet"])["containers"][0]["readinessProbe"]["exec"]["command"])
        count = [one for one in box.status()["bpf"]["features"] if one["feature"] == "count"][0]
        assert count["on"] and not count["why"], count
        pod = Pod(box, pod_of(protected["Deployment"]), {"run": volumes["run"], "weir": folder(box, "weir", mode=0o777)}, images(package), lower)
        serves(box, pod, rules, text)


def an_agent_beside():
    package = Package.get()
    lower = base_of(package)
    manifest = documents("sidecar.yaml")
    text = manifest["ConfigMap"]["data"]
    with sandbox() as box, bpf.Place(box):
        rules = ConfigMap(os.path.join(box.path, "rules"), text)
        volumes = {"weir": folder(box, "weir", mode=0o777), "rules": rules.path}
        box.run_dir = os.path.join(volumes["weir"], "run")
        pod = Pod(box, pod_of(manifest["Deployment"]), volumes, images(package), lower)
        program = pod.start("agent")[1]
        weirtest.until(lambda: box.agent_answers() or not program.running(), "the agent")
        assert program.running(), program.output()
        serves(box, pod, rules, text)


weirtest.main(an_agent_beside, an_agent_a_node)
