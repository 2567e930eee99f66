// Package chrome drives a real Chromium for tests of the page.
//
// Its nouns: a Browser is one process; a Tab is one page in it; a Look is what a
// visitor's device and settings are like. Tabs made by Browser.Visit share
// nothing (each is another person with cookies and storage of their own), tabs
// made by Tab.Another belong to the same person.
//
// A Tab belongs to one goroutine, its test's, and reports every failure to it;
// it closes with the test. Nothing here sleeps: what takes time is waited for by
// Until, inside the page.
package chrome

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// Patience bounds every wait. What is waited for takes far less.
const Patience = 20 * time.Second

// Browser is a running Chromium.
type Browser struct {
	ctx     context.Context
	agent   string // the User-Agent that it sends
	profile string
	close   func()
}

// Launch starts the Chromium at path with a fresh profile. Further flags are
// like "name" or "name=value".
func Launch(path string, flags ...string) (*Browser, error) {
	profile, err := os.MkdirTemp("", "teahouse-chromium-")
	if err != nil {
		return nil, fmt.Errorf("making a profile for the browser: %w", err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("headless", "new"),
	}
	for _, flag := range []string{
		"disable-background-networking", "disable-background-timer-throttling", "disable-backgrounding-occluded-windows",
		"disable-breakpad", "disable-component-update", "disable-default-apps", "disable-dev-shm-usage", "disable-extensions",
		"disable-quic", "disable-renderer-backgrounding", "disable-sync", "hide-scrollbars", "no-proxy-server",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	for _, flag := range flags {
		if name, value, found := strings.Cut(flag, "="); found {
			options = append(options, chromedp.Flag(name, value))
		} else {
			options = append(options, chromedp.Flag(name, true))
		}
	}
	options = append(options, chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("password-store", "basic"),
		chromedp.Flag("disable-features", "Translate"))
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	b := &Browser{ctx: ctx, profile: profile, close: func() { cancel(); cancelAlloc() }}
	version, err := startedVersion(ctx)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.agent = version.UserAgent
	return b, nil
}

func startedVersion(ctx context.Context) (browser.GetVersionResult, error) {
	if err := chromedp.Do(ctx); err != nil {
		return browser.GetVersionResult{}, fmt.Errorf("starting the browser: %w", err)
	}
	return chromedp.CallBrowser(ctx, browser.GetVersion, struct{}{})
}

// Close ends the process, waits for it and removes its profile.
func (b *Browser) Close() error {
	err := chromedp.Cancel(b.ctx)
	b.close()
	return errors.Join(err, os.RemoveAll(b.profile))
}

// Look is a visitor's device and settings; the zero Look is a desktop by day in
// English.
type Look struct {
	Width, Height int    // of the page in px; 0 is 1100 by 760
	Scale         int    // device pixels to the px; 0 is 1
	Dark          bool   // prefers-color-scheme
	Lang          string // Accept-Language; "" is "en-GB,en"
	Zone          string // time zone; "" is Europe/Berlin
	Touch         bool   // a phone: no mouse
	NoScript      bool   // JavaScript is off
	Blurred       bool   // the window has not the focus
	Before        string // a script that runs before those of the page
	Media         map[string]string
}
