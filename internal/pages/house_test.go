package pages_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/pages"
)

func TestEveryAnswerCarriesTheProtectingHeaders(t *testing.T) {
	h := newHouse(t, nil)
	for _, path := range []string{"/", "/chat/lobby/", "/nothing", "/robots.txt", "/favicon.svg", "/chat/lobby/qr.svg", "/static/x"} {
		a := h.get(path)
		csp := a.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: the policy lacks %s", path, part)
			}
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestAPageTellsUsWhereItsFormsComeFrom(t *testing.T) {
	h := newHouse(t, nil)
	for _, path := range []string{"/", "/chat/lobby/"} {
		h.want(h.get(path), http.StatusOK, `<meta name="referrer" content="same-origin">`)
	}
}

func TestAStrangeHostIsNotRepeated(t *testing.T) {
	h := newHouse(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/chat/lobby/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example;script-src"
	a := h.do(r)
	if strings.Contains(a.Header.Get("Content-Security-Policy"), "evil") || strings.Contains(a.body, "evil") {
		t.Error("the host of the request is repeated")
	}
}

func TestLinksThatLeaveThePageHaveTheBaseURL(t *testing.T) {
	h := newHouse(t, func(o *pages.Options) { o.BaseURL = "https://tea.example/" })
	h.want(h.get("/chat/lobby/"), http.StatusOK, `<link rel="canonical" href="https://tea.example/chat/lobby/">`, `value="https://tea.example/chat/lobby/"`)
}

func TestTheLanguageIsTheBrowsersUntilOneIsChosen(t *testing.T) {
	h := newHouse(t, nil)
	h.want(h.get("/", "Accept-Language", "zh-CN,zh;q=0.9"), http.StatusOK, `<html lang="zh"`, "请进")
	h.want(h.get("/", "Accept-Language", "fr"), http.StatusOK, `<html lang="en"`)
	a := h.post("/preferences", url.Values{"lang": {"zh"}, "to": {"/chat/lobby/?before=3"}})
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/chat/lobby/?before=3" {
		t.Errorf("status %d, to %q", a.StatusCode, a.Header.Get("Location"))
	}
	h.want(h.get("/chat/lobby/"), http.StatusOK, `<html lang="zh"`, "发送")
	h.want(h.get("/nothing"), http.StatusNotFound, "这里什么也没有")
}

func TestTheThemeIsInTheMarkupSoThatNothingFlashes(t *testing.T) {
	h := newHouse(t, nil)
	h.post("/preferences", url.Values{"theme": {"dark"}})
	h.want(h.get("/"), http.StatusOK, `data-theme="dark"`, `<meta name="color-scheme" content="dark">`)
	h.post("/preferences", url.Values{"theme": {`"><script>`}})
	h.want(h.get("/"), http.StatusOK, `data-theme="dark"`)
	h.post("/preferences", url.Values{"theme": {"system"}})
	if strings.Contains(h.get("/").body, "data-theme") {
		t.Error("the system's theme is not restored")
	}
}

func TestPreferencesLeadNowhereElse(t *testing.T) {
	h := newHouse(t, nil)
	for _, to := range []string{"", "https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "/\t/evil.example", "chat", "http:evil", "/%zz"} {
		a := h.post("/preferences", url.Values{"lang": {"en"}, "to": {to}})
		if got := a.Header.Get("Location"); got != "/" {
			t.Errorf("to %q leads to %q", to, got)
		}
	}
	tea := "/chat/%E8%8C%B6/12"
	if got := h.post("/preferences", url.Values{"to": {tea}}).Header.Get("Location"); got != tea {
		t.Errorf("to %q leads to %q", tea, got)
	}
}

func TestTheQRCodeIsAPictureOfTheLink(t *testing.T) {
	h := newHouse(t, nil)
	a := h.get("/chat/lobby/qr.svg")
	h.want(a, http.StatusOK, `<rect width="`, `fill="#fff"`)
	if ct := a.Header.Get("Content-Type"); ct != "image/svg+xml" {
		t.Errorf("Content-Type %q", ct)
	}
	d := xml.NewDecoder(strings.NewReader(a.body))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v", err)
		}
	}
	// The longest room name there is still fits.
	longest := url.PathEscape(strings.Repeat("🍵", 64))
	h.want(h.get("/chat/"+longest+"/qr.svg"), http.StatusOK)
}

func TestAnInvitationIsAPageWithTheLinkAndItsPicture(t *testing.T) {
	h := newHouse(t, func(o *pages.Options) { o.BaseURL = "https://tea.example" })
	h.want(h.get("/chat/lobby/"), http.StatusOK, `href="/chat/lobby/invite"`)
	a := h.get("/chat/lobby/invite")
	h.want(a, http.StatusOK, "Invite to lobby", `value="https://tea.example/chat/lobby/"`, `src="/chat/lobby/qr.svg"`, `href="/chat/lobby/">Back to lobby`)
	h.want(h.get("/chat/lobby/invite", "Accept-Language", "zh"), http.StatusOK, "邀请到 lobby", "回到 lobby")
	if a := h.get("/chat/%20lobby/invite"); a.Header.Get("Location") != "/chat/lobby/invite" {
		t.Errorf("another spelling leads to %q", a.Header.Get("Location"))
	}
}

func TestALinkThatOnlyThisComputerCanOpenSaysSo(t *testing.T) {
	for base, local := range map[string]bool{
		"http://localhost:8080": true, "http://LOCALHOST.": true, "http://tea.localhost": true, "http://127.0.0.1:8080": true, "http://127.9.9.9": true,
		"http://[::1]:8080": true, "http://[::ffff:127.0.0.1]": true,
		"http://192.168.1.7:8080": false, "https://tea.example": false, "https://localhost.example": false, "http://[2001:db8::1]": false,
	} {
		h := newHouse(t, func(o *pages.Options) { o.BaseURL = base })
		for _, path := range []string{"/chat/lobby/", "/chat/lobby/invite"} {
			body := h.get(path).body
			told := strings.Contains(body, "works on this computer only") && strings.Contains(body, "--listen :8080")
			if drawn := strings.Contains(body, "qr.svg"); told != local || !drawn {
				t.Errorf("%s at %s: told %v, picture %v", path, base, told, drawn)
			}
		}
	}
}

func TestFilesAtFixedPlaces(t *testing.T) {
	h := newHouse(t, nil)
	for path, kind := range map[string]string{
		"/favicon.svg": "image/svg+xml", "/favicon.ico": "image/svg+xml", "/icon-maskable.svg": "image/svg+xml",
		"/robots.txt": "text/plain; charset=utf-8", "/manifest.webmanifest": "application/manifest+json",
	} {
		a := h.get(path)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != kind || a.body == "" {
			t.Errorf("%s: status %d, type %q, %d bytes", path, a.StatusCode, a.Header.Get("Content-Type"), len(a.body))
		}
	}
	var manifest struct {
		Icons []struct{ Src, Purpose string }
	}
	if err := json.Unmarshal([]byte(h.get("/manifest.webmanifest").body), &manifest); err != nil || len(manifest.Icons) != 2 {
		t.Errorf("manifest: %v, %+v", err, manifest)
	}
}

func TestEveryFileARoomAsksForIsThere(t *testing.T) {
	h := newHouse(t, nil)
	body := h.get("/chat/lobby/").body
	n := 0
	for part := range strings.SplitSeq(body, `"`) {
		if !strings.HasPrefix(part, "/static/") {
			continue
		}
		n++
		if a := h.get(part); a.StatusCode != http.StatusOK || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, %q", part, a.StatusCode, a.Header.Get("Cache-Control"))
		}
	}
	if n < 10 {
		t.Errorf("only %d files", n)
	}
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	h := newHouse(t, nil)
	for _, path := range []string{"/nothing", "/chat/lobby/12/34", "/static/", "/chat/lobby/qr.png", "/..%2f..%2fetc/passwd"} {
		if a := h.get(path); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, a.StatusCode)
		}
	}
	for _, path := range []string{"/", "/nothing", "/chat/lobby/12", "/robots.txt"} {
		if a := h.post(path, url.Values{}); a.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: status %d", path, a.StatusCode)
		}
	}
	if a := h.get("/preferences"); a.StatusCode != http.StatusNotFound && a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET /preferences: status %d", a.StatusCode)
	}
}
