package peer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/load"
	"github.com/teahouse-chat/teahouse/wire"
)

// Names of the peers.
const (
	Teahouse    = "teahouse"
	TeahouseRAM = "teahouse-ram"
	Toolkit     = "toolkit"
	LimitC      = "limit"
	CentrifugeG = "centrifuge"
	CentrifugeM = "centrifuge-small"
	Socketio    = "socketio"
	Hub         = "hub"
	Loop        = "loop"
	ChannelsA   = "channels-async"
	ChannelsS   = "channels"
)

// All is every peer, in the order of the report.
func All() []Peer {
	return []Peer{
		teahouse(Teahouse, "", ""),
		teahouse(TeahouseRAM, ", log in memory", " Its log is on a file system in memory, which shows what the disk costs."),
		toolkit(),
		Limit(RunBytes),
		centrifugeG(CentrifugeG, "", "Tuned for CPU, by the fastest of eight settings that were tried: write delay 10 ms, no bound on messages per frame, a writing goroutine each, commands on the read loop.", "-timer=false", "-off-loop=false"),
		centrifugeG(CentrifugeM, ", tuned for memory", "Tuned for memory as its documentation advises for many idle connections: write delay 10 ms with a timer in place of the writing goroutine, commands off the read loop.", "-timer=true", "-off-loop=true"),
		socketio(),
		gochat(Hub, "Go, hub and channels", "The usual Go chat: a goroutine per room with a map of sockets, and for each socket a channel and a writing goroutine, which puts all that waits into one frame. A socket that lets 1,024 messages wait is cut."),
		gochat(Loop, "Go, plain loop", "Whoever posts writes the message, encoded once, to each socket under the room's lock. Nothing else is done, so at a low rate nothing is faster."),
		channels(ChannelsA, "Django Channels, async", "async_application", "The original application on an AsyncWebsocketConsumer."),
		channels(ChannelsS, "Django Channels", "sync_application", "The original application: a WebsocketConsumer and async_to_sync."),
	}
}

// Find is the peer of a name.
func Find(name string) (Peer, error) {
	var names []string
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Peer{}, fmt.Errorf("there is no peer %q: say one of %s", name, strings.Join(names, ", "))
}

var (
	needGo   = need{"go", "golang"}
	needCC   = need{"cc", "gcc"}
	needNode = need{"node", "nodejs"}
	needNPM  = need{"npm", "npm"}
)

// ram is a file system in memory on every Linux.
const ram = "/dev/shm"

func teahouse(name, title, about string) Peer {
	return Peer{
		Name: name, Title: "Teahouse" + title, Protocol: load.Rich{},
		About: "The whole product with its defaults, limits off: the rich protocol, every message committed to SQLite with fsync before it is delivered." + about,
		inRAM: name == TeahouseRAM, admin: true,
		needs: []need{needGo}, build: goBuild("..", "./cmd/teahouse", "teahouse"),
		version: asks("..", "git", "describe", "--always", "--dirty"),
		command: func(w *Workshop, port, folder string) []string {
			return []string{w.program("teahouse"), "serve", "--listen", "127.0.0.1:" + port, "--limits", "off", "--data", folder, "--log-level", "warn"}
		},
	}
}

// toolkit is what Teahouse is built from, without what it is built for.
func toolkit() Peer {
	return Peer{
		Name: Toolkit, Title: "Teahouse's toolkit alone", Protocol: Channels{},
		About: "examples/chat: the consumer of the original application on package channels, one process. Like the peers it stores nothing, so it shows what the log and the rich protocol cost.",
		rings: true,
		needs: []need{needGo}, build: goBuild("..", "./examples/chat", "toolkit"),
		version: asks("..", "git", "describe", "--always", "--dirty"),
		command: func(w *Workshop, port, _ string) []string {
			return []string{w.program("toolkit"), "-listen", "127.0.0.1:" + port}
		},
	}
}

// RunBytes is how many bytes the limit writes at once at the most, as many as a
// round of Teahouse.
const RunBytes = 32 << 10

// FrameBytes is about how long the frame of a text of that many bytes is.
func FrameBytes(size int) int { return 4 + len(`{"message":"`) + size + len(`"`) + Padding() }

// Padding is what a message of Teahouse carries in its frame besides the text
// and {"message":""}, in bytes.
func Padding() int {
	text := "x"
	frame := wire.Encode(wire.MessageFrame{Room: "bench-abcdefgh-0", Message: wire.Message{
		Seq: 100_000, Author: wire.Person{ID: "3f9k2m5q8r1tw", Name: "Quiet Heron", Tag: "k3f9"},
		Text: text, At: wire.Time{Time: time.UnixMilli(1_777_777_777_777)}, Nonce: "100000",
	}})
	return len(frame) - len(text) - len(`{"message":"`) - len(`"`)
}

// Limit is the C program, with about so many bytes in one write.
func Limit(run int) Peer {
	return Peer{
		Name: LimitC, Title: "The limit, C", Protocol: Chat{"limit"},
		About: fmt.Sprintf("A C program with one epoll: it takes what has come, and makes one write per member and run, frames of Teahouse's size; a run is about %d KiB, or as long as Teahouse's were on average in the same round. It stores, checks and times nothing, so it shows what the writes alone cost.", RunBytes>>10),
		needs: []need{needCC},
		build: func(ctx context.Context, w *Workshop) error {
			_, err := w.run(ctx, "limit", "cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", w.program("limit"), "limit.c")
			return err
		},
		version: asks(".", "cc", "-dumpfullversion"),
		command: func(w *Workshop, port, _ string) []string {
			return []string{w.program("limit"), port, strconv.Itoa(Padding()), strconv.Itoa(run)}
		},
	}
}

func centrifugeG(name, title, about string, tuning ...string) Peer {
	return Peer{
		Name: name, Title: "Centrifuge library" + title, Protocol: Centrifuge{},
		About: "A chat on the Go library, JSON protocol, broker in memory without history. " + about + " Write buffers pooled, the bound of a client's queue raised to 64 MiB.",
		needs: []need{needGo}, build: goBuild(".", "./centrifuge", "centrifuge"),
		version: asks(".", "go", "list", "-m", "-f", "{{.Version}}", "github.com/centrifugal/centrifuge"),
		command: func(w *Workshop, port, _ string) []string {
			return append([]string{w.program("centrifuge"), "-listen", "127.0.0.1:" + port}, tuning...)
		},
	}
}

func socketio() Peer {
	return Peer{
		Name: Socketio, Title: "Socket.IO", Protocol: SocketIO{}, Slow: 64,
		About: "Rooms of Socket.IO, WebSocket only. Tuned as its documentation advises: the native add-on bufferutil, no compression, the request of the handshake let go, NODE_ENV=production.",
		needs: []need{needNode, needNPM},
		build: func(ctx context.Context, w *Workshop) error {
			if _, err := os.Stat(filepath.Join(w.Module, "socketio", "node_modules", "socket.io")); err == nil {
				return nil
			}
			_, err := w.run(ctx, "socketio", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
			return err
		},
		version: asks("socketio", "node", "-p", `require("socket.io/package.json").version + ", Node.js " + process.version`),
		dir:     "socketio", env: []string{"NODE_ENV=production"},
		command: func(_ *Workshop, port, _ string) []string { return []string{"node", "server.mjs", port} },
	}
}

func gochat(mode, title, about string) Peer {
	p := Peer{
		Name: mode, Title: title, Protocol: Chat{mode}, About: about + " On github.com/gorilla/websocket, write buffers pooled.",
		needs: []need{needGo}, build: goBuild(".", "./gochat", "gochat"),
		version: asks(".", "go", "list", "-m", "-f", "{{.Version}}", "github.com/gorilla/websocket"),
		command: func(w *Workshop, port, _ string) []string {
			return []string{w.program("gochat"), "-listen", "127.0.0.1:" + port, "-mode", mode}
		},
	}
	if mode == Loop {
		p.Slow = 64
	}
	return p
}

func channels(name, title, application, about string) Peer {
	p := Peer{
		Name: name, Title: title, Protocol: Channels{}, Slow: 8, dir: "django",
		About:   about + " daphne, in-memory channel layer, one process, as Debian has it. At most 8 posts in flight (4 for the synchronous one), so that a run ends.",
		needs:   []need{{"/usr/bin/daphne", "daphne"}, {"/usr/lib/python3/dist-packages/channels", "python3-django-channels"}},
		version: asks(".", "dpkg-query", "-W", "-f", "${Package} ${Version} ", "python3-django", "python3-django-channels", "daphne", "python3"),
		env:     []string{"PYTHONDONTWRITEBYTECODE=1"},
		command: func(_ *Workshop, port, _ string) []string {
			return []string{"/usr/bin/python3", "/usr/bin/daphne", "-b", "127.0.0.1", "-p", port, "-v", "0", "chat:" + application}
		},
	}
	if name == ChannelsS {
		p.Slow = 4
	}
	return p
}
