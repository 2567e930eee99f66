package chrome

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// watch counts what must never happen, before any script of the page runs.
const watch = `(() => {
	window.__seen = { csp: [], ran: [] };
	document.addEventListener('securitypolicyviolation', (e) =>
		window.__seen.csp.push(e.violatedDirective + ' ' + (e.blockedURI || '') + ' ' + (e.sample || '')));
	window.__ran = (what) => { window.__seen.ran.push(String(what)); };
})()`

// Tab is one page.
type Tab struct {
	// fixed
	tb      testing.TB
	browser *Browser
	ctx     context.Context
	look    Look
	answers sync.WaitGroup // of dialogs

	mu       sync.Mutex
	dialogs  []string
	thrown   []string
	requests []string
}

// Visit is a new person's tab.
func (b *Browser) Visit(tb testing.TB, look Look) *Tab {
	tb.Helper()
	return open(tb, b, b.ctx, look, chromedp.WithNewBrowserContext())
}

// Another is one more tab of the same person.
func (t *Tab) Another(tb testing.TB) *Tab {
	tb.Helper()
	return open(tb, t.browser, t.ctx, t.look)
}

func open(tb testing.TB, b *Browser, parent context.Context, look Look, options ...chromedp.ContextOption) *Tab {
	tb.Helper()
	t := &Tab{tb: tb, browser: b, look: look}
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(t.heard))...)
	t.ctx = ctx
	tb.Cleanup(func() {
		if tb.Failed() {
			t.picture()
		}
		cancel()
		t.answers.Wait()
		if thrown := t.Thrown(); len(thrown) > 0 {
			tb.Errorf("the page threw: %q", thrown)
		}
	})
	t.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error { return dress(ctx, target, b.agent, look) }))
	return t
}

// dress gives a target its look.
func dress(ctx context.Context, s cdp.Session, agent string, l Look) error {
	orElse := func(v, other int) int64 {
		if v == 0 {
			v = other
		}
		return int64(v)
	}
	lang, zone, scheme := l.Lang, l.Zone, "light"
	if lang == "" {
		lang = "en-GB,en"
	}
	if zone == "" {
		zone = "Europe/Berlin"
	}
	if l.Dark {
		scheme = "dark"
	}
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	for _, name := range slices.Sorted(maps.Keys(l.Media)) {
		features = append(features, &emulation.MediaFeature{Name: name, Value: l.Media[name]})
	}
	return inOrder(
		call(ctx, s, network.Enable, network.EnableParams{}),
		call(ctx, s, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch + ";" + l.Before}),
		call(ctx, s, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: lang}),
		call(ctx, s, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone}),
		call(ctx, s, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}),
		call(ctx, s, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: orElse(l.Width, 1100), Height: orElse(l.Height, 760), DeviceScaleFactor: float64(orElse(l.Scale, 1)), Mobile: l.Touch,
		}),
		call(ctx, s, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: l.Touch, MaxTouchPoints: 1}),
		call(ctx, s, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.NoScript}),
		call(ctx, s, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: !l.Blurred}),
	)
}

// call is a command yet to be given.
func call[P, R any](ctx context.Context, s cdp.Session, command cdp.Command[P, R], params P) func() error {
	return func() error {
		_, err := cdp.Call(ctx, s, command, params)
		return err
	}
}

func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// heard collects events; it runs on the tab's reading goroutine.
func (t *Tab) heard(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *page.EventJavascriptDialogOpening:
		t.dialogs = append(t.dialogs, e.Message)
		t.answers.Go(func() {
			// The tab may be closing; then there is nothing to answer.
			_, _ = chromedp.Call(t.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		})
	case *runtime.EventExceptionThrown:
		what := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			what += " " + x.Description
		}
		t.thrown = append(t.thrown, what)
	case *network.EventRequestWillBeSent:
		t.requests = append(t.requests, e.Request.URL)
	}
}

// Dialogs are the texts of the dialogs that scripts have opened.
func (t *Tab) Dialogs() []string { return t.copyOf(&t.dialogs) }

// Thrown are the errors that nobody in the page caught.
func (t *Tab) Thrown() []string { return t.copyOf(&t.thrown) }

// Requests are the addresses that the tab has asked for.
func (t *Tab) Requests() []string { return t.copyOf(&t.requests) }

func (t *Tab) copyOf(list *[]string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(*list)
}

func (t *Tab) do(steps ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, Patience)
	defer cancel()
	first := chromedp.FromContext(t.ctx).Target == nil
	if first {
		ctx = t.ctx // the tab lives as long as the context of the first run
	}
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.tb.Fatal(err)
	}
}

// Open loads an address.
func (t *Tab) Open(url string) {
	t.tb.Helper()
	t.do(chromedp.Navigate(url))
}

// Reload loads the page again.
func (t *Tab) Reload() {
	t.tb.Helper()
	t.do(chromedp.Reload())
}

// Back goes back in the history of the tab.
func (t *Tab) Back() {
	t.tb.Helper()
	t.Do(`history.back()`)
}

// Offline takes the network from the tab, or gives it back. Sockets that are
// open may survive it.
func (t *Tab) Offline(offline bool) {
	t.tb.Helper()
	t.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		return inOrder(
			call(ctx, s, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
				MatchedNetworkConditions: []*network.Conditions{{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}},
			}),
			call(ctx, s, network.OverrideNetworkState, network.OverrideNetworkStateParams{
				Offline: offline, DownloadThroughput: -1, UploadThroughput: -1,
			}),
		)
	}))
}

// Dress changes the tab's look.
func (t *Tab) Dress(look Look) {
	t.tb.Helper()
	t.look = look
	t.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error { return dress(ctx, s, t.browser.agent, look) }))
}

// Screenshot writes what the window shows to a PNG file, making its folder.
func (t *Tab) Screenshot(path string) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, Patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.tb.Fatalf("taking a screenshot: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.tb.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		t.tb.Fatal(err)
	}
}

// picture keeps what a failed test saw, when TEAHOUSE_PICTURES names a folder.
func (t *Tab) picture() {
	dir := os.Getenv("TEAHOUSE_PICTURES")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, Patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.tb.Logf("taking a picture of the failure: %v", err)
		return
	}
	f, err := os.CreateTemp(dir, "failed-*.png")
	if err != nil {
		t.tb.Logf("keeping a picture of the failure: %v", err)
		return
	}
	_, err = f.Write(png)
	t.tb.Log(f.Name(), fmt.Sprint(err), fmt.Sprint(f.Close()))
}
