package browser_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/rolling/balancer"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// notices keeps what the page says about the connection, and each socket it opens.
const notices = `(() => {
	window.told = [];
	const look = () => {
		const words = document.querySelector('#connection').textContent.trim();
		const banner = document.querySelector('#banner');
		const now = [words, banner.hidden ? '' : banner.textContent.trim(), document.querySelector('#alert').textContent.trim()].join('|');
		if (window.told.at(-1) !== now) window.told.push(now);
	};
	look();
	new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
})()`

func TestHServersAreReplaced(t *testing.T) {
	t.Parallel()
	server.Need(t, "chromium")
	flags := []string{
		"--limits", "off", "--store", parts.Postgres(t).URL("postgres"),
		"--layer", "redis://" + parts.Redis(t, parts.RedisOptions{}).Address,
	}
	nodes := []*server.Server{server.Start(t, flags...), server.Start(t, flags...)}
	b, err := balancer.New(nodes[0].Address, nodes[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	ready := func() {
		t.Helper()
		for end := time.Now().Add(server.Patience); b.Ready() < len(nodes); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the servers do not get ready")
			}
		}
	}
	ready()
	t.Run("while two servers are replaced one after the other, the page says nothing of it and loses nothing", func(t *testing.T) {
		a := enter(t, b.URL(), "h80", chrome.Look{})
		a.Do(notices)
		said := 0
		talk := func() {
			said++
			say(a, fmt.Sprint("number ", said))
		}
		talk()
		for _, node := range nodes {
			node.Terminate()
			for node.Alive() {
				talk()
				shows(a, fmt.Sprint("number ", said))
			}
			node.Restart()
			ready()
		}
		talk()
		shows(a, fmt.Sprint("number ", said))
		dense(t, a)
		if rows := stored(t, nodes[0], "h80"); len(rows) != said {
			t.Errorf("%d messages are stored of %d", len(rows), said)
		}
		if told := chrome.Eval[[]string](a, `window.told`); len(told) != 1 {
			t.Errorf("the page said, one after the other: %q", told)
		}
		if n := b.ErrorFrames(); n > 0 {
			t.Errorf("it was sent %d error frames", n)
		}
	})
}
