#!/usr/bin/python3
"""An RTSP camera on the loopback, for the tests of Squint.

Usage: rtsp_camera.py PORT [USER PASSWORD]; port 0 takes a free one. RTSP_CAMERA in the environment may hold `digest` (the
login is not sent in clear) and one of `udp` and `multicast`, the only transport that it knows then. Prints "ready PORT" once clients can connect, "absent
REASON" and exit 3 if this machine lacks what it needs. It shows a ball, H.264, 320x240, 30 frames a second, to any number of
clients. It ends when its standard input does, so that no test leaves one behind. Sickness is up to the test: SIGKILL is a
camera that lost its power, SIGSTOP a hole in the network.
"""
import os
import sys
import threading

try:
    import gi
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
except (ImportError, ValueError) as lack:
    print("absent", lack)
    sys.exit(3)

WAYS = os.environ.get("RTSP_CAMERA", "").split()
LAUNCH = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=30/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 config-interval=1 )"
)


def lock(server, factory, user, password):
    """Only `user` may see anything."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if "digest" in WAYS:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def main(port, login):
    Gst.init(None)
    for element in ("x264enc", "rtph264pay", "videotestsrc"):
        if Gst.ElementFactory.find(element) is None:
            print("absent no element", element)
            return 3
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory(launch=LAUNCH, shared=True)
    if "udp" in WAYS:
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    if "multicast" in WAYS:
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP_MCAST)
        pool = GstRtspServer.RTSPAddressPool()
        pool.add_range("239.192.0.1", "239.192.0.250", 40000, 48000, 1)
        factory.set_address_pool(pool)
    server.get_mount_points().add_factory("/cam", factory)
    if login:
        lock(server, factory, *login)
    if not server.attach(None):
        print("absent port", port, "is taken")
        return 3
    print("ready", server.get_bound_port(), flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    GLib.MainLoop().run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:4]))
