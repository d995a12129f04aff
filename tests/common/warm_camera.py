#!/usr/bin/python3
"""An RTSP camera on the loopback that somebody watches already, for the tests of Squint.

Usage: warm_camera.py WHAT SECONDS, WHAT being h264, h265 or sound. Prints "ready PORT" once its stream has been running for so many
seconds, "absent REASON" and exit 3 if this machine lacks what it needs. Pictures are 320x240, 25 a second, a key frame every 100 of
them. It ends when its standard input does.
"""
import os
import sys
import threading

try:
    import gi
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer
except (ImportError, ValueError) as lack:
    print("absent", lack)
    sys.exit(3)

PICTURES = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
CODED = "tune=zerolatency speed-preset=ultrafast key-int-max=100"
WHAT = {
    "h264": (["x264enc", "rtph264pay"], f"( {PICTURES} ! x264enc {CODED} ! rtph264pay name=pay0 config-interval=-1 )"),
    "h265": (["x265enc", "rtph265pay"], f"( {PICTURES} ! x265enc {CODED} ! rtph265pay name=pay0 config-interval=-1 )"),
    "sound": (["mulawenc", "rtppcmupay"], "( audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay0 )"),
}


def main(what, seconds):
    Gst.init(None)
    needed, launch = WHAT[what]
    for element in needed + ["rtspsrc"]:
        if Gst.ElementFactory.find(element) is None:
            print("absent no element", element)
            return 3
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
    factory = GstRtspServer.RTSPMediaFactory(launch=launch, shared=True)
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        print("absent no port")
        return 3
    port = server.get_bound_port()
    address = f"rtsp://127.0.0.1:{port}/cam"
    watcher = Gst.parse_launch(f"rtspsrc location={address} protocols=tcp ! fakesink name=sink signal-handoffs=true")
    seen = []

    def running(*_):
        if not seen:
            seen.append(True)
            GLib.timeout_add(int(seconds * 1000), lambda: print("ready", port, flush=True))

    watcher.get_by_name("sink").connect("handoff", running)
    watcher.set_state(Gst.State.PLAYING)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    GLib.MainLoop().run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
