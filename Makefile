# One target a job; `make` alone lists them. Everything is built from Cargo.lock as committed.
SHELL := /bin/bash
CARGO ?= cargo
SQUINT := target/release/squint
PREFIX ?= /usr
DESTDIR ?=
# Tests and the demo use the library that `make deps` fetched; a path set outside wins.
ORT := $(CURDIR)/.deps/onnxruntime/libonnxruntime.so
export ORT_DYLIB_PATH ?= $(ORT)
# Without it ONNX Runtime looks up a host of its maker's; the program sets it for itself, this is for tests and benches.
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help deps build demo test test-systemd test-v4l2 shims test-tensorrt fuzz lint bench soak cross deb deb-arm64 test-deb install uninstall clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## fetch what is missing: GStreamer, ONNX Runtime, a demo clip (scripts/deps says what and why)
	@scripts/deps

build: ## release build: target/release/squint
	@scripts/deps rust build
	$(CARGO) build --locked --release

demo: ## build, then look at a video clip and a folder of photos
	@scripts/deps rust build run onnxruntime demo
	$(CARGO) build --locked --release
	$(SQUINT) run --source .deps/demo/bikes.mp4 --text
	$(SQUINT) classify tests/data/photos/*

# Tests that cannot run on this machine say so and pass; with SQUINT_REQUIRE=1, as in .ci/run, they fail (tests/common/mod.rs).
test: deps ## all tests that need no camera, no GPU and no board
	@scripts/deps tensorrt-headers || true # where they cannot be had, the tests that want a TensorRT say that they are skipped
	$(CARGO) test --locked

test-systemd: build ## the installed service in a real systemd: ready, watchdog, reload, stop, uninstall; as root (docs/guide/service.md)
	@scripts/deps rust build run onnxruntime
	@scripts/deps systemd || true # where that cannot be had, the test says that it is skipped
	@scripts/test-systemd
	@scripts/test-systemd-limits

test-v4l2: build ## a real V4L2 device, in a virtual machine; as root, slow (docs/guide/service.md)
	@scripts/deps rust build run onnxruntime
	@scripts/deps v4l2 || true # where that cannot be had, the test says that it is skipped
	@scripts/test-v4l2

shims: ## what Squint needs to drive TensorRT, for each TensorRT whose headers are found (docs/background/tensorrt-shim.md)
	@scripts/shims

test-tensorrt: ## the shim with fakes, and with the real builder of TensorRT-RTX, without a GPU (x86_64; fetches 190 MB)
	@scripts/deps rust tensorrt-headers tensorrt-rtx
	@scripts/shims --require
	$(CARGO) test --locked --test tensorrt -- --nocapture shim rtx

fuzz: ## every fuzz target for EACH seconds, 60 if not given (docs/background/fuzzing.md)
	@scripts/deps rust build fuzz
	@for target in $$(scripts/fuzz --list); do scripts/fuzz $$target $(or $(EACH),60) || exit; done

lint: deps ## rustfmt and clippy, warnings are errors; no line of the documents beyond 100 columns
	@scripts/wrap --check
	@scripts/wrap --check $$(git ls-files "*.rs")
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) fetch --locked --manifest-path tests/fuzz/Cargo.toml # its lock file still fits

bench: build ## what Squint costs here, in turns with OpenCV and ONNX Runtime's Python binding
	@scripts/deps run onnxruntime bench
	.venv-bench/bin/python benches/compare.py --squint $(SQUINT)

soak: build ## a run of 100000 frames: memory, threads and descriptors must stay flat (docs/background/soak.md)
	@scripts/deps rust build run onnxruntime
	@scripts/soak

cross: ## for a Jetson: aarch64, glibc 2.27, on x86-64; checks what it asks of the board and tries it under emulation (docs/guide/setup.md)
	@scripts/deps rust build cross
	@scripts/deps tensorrt-headers || true # without a network there are no shims in it
	@scripts/deps --arch aarch64 onnxruntime
	@scripts/cross

deb: build ## a Debian package for this machine in target/debian, held against lintian
	@scripts/deps rust build onnxruntime
	@scripts/deps package || true # where lintian cannot be had, that is said
	@scripts/package $$(dpkg --print-architecture)

deb-arm64: ## the same for a Jetson, of what `make cross` built
	@scripts/deps rust cross
	@scripts/deps --arch aarch64 onnxruntime
	@scripts/deps package || true
	@scripts/package arm64

test-deb: deb ## the package on a bare Debian 12 of its own: install, start, upgrade, purge; as root (docs/guide/setup.md)
	@scripts/test-deb

install: ## the built program, engines, unit, man pages, completions; PREFIX=/usr, DESTDIR= (docs/guide/service.md)
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SQUINT='$(SQUINT)' scripts/install install

uninstall: ## take away what was installed; a changed squint.toml and records stay
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install uninstall

clean: ## remove what was built; .deps stays
	$(CARGO) clean
