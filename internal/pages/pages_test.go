package pages_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/auth"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/internal/pages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a server with pages over the real rules and an in-memory store, and
// one visitor.
type house struct {
	*testing.T
	service *chat.Service
	url     string
	visitor *http.Client
}

func newHouse(t *testing.T, change func(*pages.Options)) *house {
	t.Helper()
	store := memstore.New()
	service, err := chat.New(t.Context(), chat.Options{Store: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	settings, err := store.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := pages.Options{
		Chat: service, Identity: auth.NewGuests(service, settings.Key, false), Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	p, err := pages.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		if err := service.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &house{t, service, server.URL, &http.Client{Jar: jar, CheckRedirect: stay, Transport: transport}}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

func (h *house) do(r *http.Request) answer {
	h.Helper()
	resp, err := h.visitor.Do(r)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	return answer{resp, string(body)}
}

func (h *house) get(path string, header ...string) answer {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.url+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return h.do(r)
}

func (h *house) post(path string, form url.Values, header ...string) answer {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		h.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return h.do(r)
}

// say posts texts as somebody else.
func (h *house) say(room string, texts ...string) {
	h.Helper()
	author := chat.User{ID: chat.NewUserID(), Name: "Somebody"}
	for i, text := range texts {
		if _, _, err := h.service.Post(h.Context(), chat.Post{Room: room, Author: author, Nonce: fmt.Sprint(i), Text: text}); err != nil {
			h.Fatal(err)
		}
	}
}

func (h *house) want(a answer, status int, parts ...string) {
	h.Helper()
	if a.StatusCode != status {
		h.Errorf("%s %s: status %d, want %d", a.Request.Method, a.Request.URL, a.StatusCode, status)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			h.Errorf("%s: the page does not hold %q", a.Request.URL, part)
		}
	}
}

func TestARoomIsReadableWithoutScripts(t *testing.T) {
	h := newHouse(t, nil)
	h.say("lobby", "good morning", "see https://example.org/tea.")
	a := h.get("/chat/lobby/")
	h.want(a, http.StatusOK, "good morning", `<a href="https://example.org/tea" target="_blank" rel="noopener noreferrer nofollow">`,
		`<form id="composer" method="post" action="/chat/lobby/">`, `data-last="2"`, `data-end="2"`, `data-first="true"`,
		`<link rel="canonical" href="`+h.url+`/chat/lobby/">`, `property="og:title"`, `<html lang="en" dir="ltr">`)
	if len(a.Cookies()) == 0 {
		t.Error("a new guest gets no cookie")
	}
	if again := h.get("/chat/lobby/"); len(again.Cookies()) != 0 {
		t.Error("a known guest gets a new cookie")
	}
}

var nonceField = regexp.MustCompile(`name="nonce" value="([^"]+)"`)

func TestTheFormSaysSomethingOnceHoweverOftenItIsSent(t *testing.T) {
	h := newHouse(t, nil)
	form := url.Values{"text": {"hello"}, "nonce": {nonceField.FindStringSubmatch(h.get("/chat/lobby/").body)[1]}}
	for range 3 {
		a := h.post("/chat/lobby/", form)
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/chat/lobby/#end" {
			t.Fatalf("status %d, to %q", a.StatusCode, a.Header.Get("Location"))
		}
	}
	page, err := h.service.Page(t.Context(), "lobby", chat.Newest(10))
	if err != nil || len(page.Messages) != 1 {
		t.Fatalf("%d messages, %v", len(page.Messages), err)
	}
	h.want(h.get("/chat/lobby/"), http.StatusOK, `class="message head own"`, `data-nonce="`+form.Get("nonce"))
}

func TestARefusedFormKeepsItsTextAndSaysWhy(t *testing.T) {
	h := newHouse(t, nil)
	long := strings.Repeat("茶", 8001)
	h.want(h.post("/chat/lobby/", url.Values{"text": {long}, "nonce": {"n"}}), http.StatusUnprocessableEntity, long, "This message is too long", `value="n"`)
	h.want(h.post("/chat/lobby/", url.Values{"text": {" \u200b "}, "nonce": {"n"}}), http.StatusUnprocessableEntity, "This message is empty")
	h.post("/chat/lobby/", url.Values{"text": {"one"}, "nonce": {"n"}})
	a := h.post("/chat/lobby/", url.Values{"text": {"two"}, "nonce": {"n"}})
	h.want(a, http.StatusConflict, "two")
	if strings.Contains(a.body, `name="nonce" value="n"`) {
		t.Error("the nonce that stands for another text is offered again")
	}
}

func TestTheLargestMessageFitsIntoAFormAndNothingMuchLarger(t *testing.T) {
	h := newHouse(t, nil)
	largest := strings.Repeat("🍵", 8000)
	if a := h.post("/chat/lobby/", url.Values{"text": {largest}, "nonce": {"n"}}); a.StatusCode != http.StatusSeeOther {
		t.Errorf("8,000 code points: status %d", a.StatusCode)
	}
	if a := h.post("/chat/lobby/", url.Values{"text": {strings.Repeat("a", 200_000)}}); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("200 kB: status %d", a.StatusCode)
	}
}

func TestANameIsChangedByAForm(t *testing.T) {
	h := newHouse(t, nil)
	if a := h.post("/chat/lobby/", url.Values{"name": {"Jade Rabbit"}}); a.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d", a.StatusCode)
	}
	h.want(h.get("/chat/lobby/"), http.StatusOK, `data-name="Jade Rabbit"`)
	for name, why := range map[string]string{
		" ": "at least one visible character", strings.Repeat("茶", 33): "at most 32 characters", "a\u1160b": "invisible characters",
		"admin": "for the house itself", "Аnna": "taken for another one", `"><b>` + strings.Repeat("x", 40): "at most 32 characters",
	} {
		a := h.post("/chat/lobby/", url.Values{"name": {name}})
		h.want(a, http.StatusUnprocessableEntity, `<details id="me" open>`, `id="name-problem" role="alert" class="problem">`, why, `name="name" value="`+html.EscapeString(name)+`"`)
		if strings.Contains(a.body, `<div id="alert" role="alert"><p>`) {
			t.Errorf("%q: told at the top too", name)
		}
	}
	h.want(h.post("/chat/lobby/", url.Values{"name": {"admin"}}, "Accept-Language", "zh"), http.StatusUnprocessableEntity, "容易和别人或茶馆本身混淆")
}

func TestARefusalHasTheStatusOfItsKind(t *testing.T) {
	for err, want := range map[error]int{
		&chat.RateError{Limit: chat.LimitMessages, Wait: 3 * time.Second}: http.StatusTooManyRequests,
		chat.ErrUnavailable:   http.StatusServiceUnavailable,
		chat.ErrBusy:          http.StatusServiceUnavailable,
		chat.ErrNonceConflict: http.StatusConflict,
		chat.ErrTooLong:       http.StatusUnprocessableEntity,
	} {
		h := newHouse(t, func(o *pages.Options) { o.Chat = refusing{o.Chat, err} })
		a := h.post("/chat/lobby/", url.Values{"text": {"my words"}, "nonce": {"n"}})
		h.want(a, want, "my words", `<div id="alert" role="alert"><p>`)
		if soon := chat.RetryAfter(err) > 0; soon != (a.Header.Get("Retry-After") != "") {
			t.Errorf("%v: Retry-After is %q", err, a.Header.Get("Retry-After"))
		}
	}
}

// refusing is a Chat that takes no message.
type refusing struct {
	pages.Chat
	err error
}

func (c refusing) Post(context.Context, chat.Post) (chat.Message, bool, error) {
	return chat.Message{}, false, c.err
}

func TestTagsTellApartTwoPeopleOfOneName(t *testing.T) {
	h := newHouse(t, nil)
	h.say("lobby", "alone")
	h.want(h.get("/chat/lobby/"), http.StatusOK, `class="message head"`)
	h.say("lobby", "another Somebody")
	if n := strings.Count(h.get("/chat/lobby/").body, `class="message head twin"`); n != 2 {
		t.Errorf("%d messages are by one of two people of a name, want 2", n)
	}
}

func TestTextIsOnlyText(t *testing.T) {
	h := newHouse(t, nil)
	nasty := `<img src=x onerror=alert(1)></script><script>"'` + "` javascript:alert(1)"
	h.say(nasty[:20], nasty)
	a := h.get("/chat/" + url.PathEscape(nasty[:20]) + "/")
	h.want(a, http.StatusOK, "&lt;img src=x onerror=alert(1)&gt;&lt;/script&gt;&lt;script&gt;")
	for _, bad := range []string{"<img src=x", "</script><script>", `href="javascript:`} {
		if strings.Contains(a.body, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}

func TestPagesOfARoomLinkToOlderAndNewer(t *testing.T) {
	h := newHouse(t, nil)
	texts := make([]string, 120)
	for i := range texts {
		texts[i] = fmt.Sprintf("line %d.", i+1)
	}
	h.say("lobby", texts...)
	h.want(h.get("/chat/lobby/"), http.StatusOK, "line 120.", "line 71.", `<link rel="prev" href="/chat/lobby/?before=71">`, `data-first="false"`)
	h.want(h.get("/chat/lobby/?before=71"), http.StatusOK, "line 21.", "line 70.", `<link rel="next" href="/chat/lobby/?after=70">`, `data-end="70"`, `data-last="120"`)
	h.want(h.get("/chat/lobby/?after=70"), http.StatusOK, "line 71.", "line 120.")
	h.want(h.get("/chat/lobby/60"), http.StatusOK, "line 60.", `data-target="60"`)
	for _, path := range []string{"/chat/lobby/121", "/chat/lobby/0", "/chat/lobby/-1", "/chat/lobby/007", "/chat/lobby/x", "/chat/nobody/1"} {
		h.want(h.get(path), http.StatusNotFound, "There is nothing here")
	}
}

func TestOtherSpellingsOfARoomLeadToTheOne(t *testing.T) {
	h := newHouse(t, nil)
	tea := "/chat/%E8%8C%B6/"
	for from, to := range map[string]string{
		"/chat/lobby":                  "/chat/lobby/",
		"/chat/lobby?before=7":         "/chat/lobby/?before=7",
		"/chat/%20%E8%8C%B6%E2%80%8B/": tea,
		"/chat/%E8%8C%B6%EF%BB%BF/12":  tea + "12",
		"/chat/e%CC%81/qr.svg":         "/chat/%C3%A9/qr.svg",
		"/chat/a%2Bb%3Fc%23d":          "/chat/a+b%3Fc%23d/",
	} {
		a := h.get(from)
		if a.StatusCode != http.StatusPermanentRedirect || a.Header.Get("Location") != to {
			t.Errorf("%s: %d to %q, want 308 to %q", from, a.StatusCode, a.Header.Get("Location"), to)
		}
	}
}

func TestWhatIsNoRoomIsSaid(t *testing.T) {
	h := newHouse(t, nil)
	for _, path := range []string{"/chat/a%2Fb/", "/chat/a%00b/", "/chat/%2e%2e/", "/chat/%E2%80%8B/", "/chat/%FF/", "/chat/" + strings.Repeat("a", 65) + "/", "/chat/a%2Fb"} {
		h.want(h.get(path), http.StatusNotFound, "That is not the name of a room")
	}
	if a := h.post("/chat/a%00b/", url.Values{"text": {"x"}}); a.StatusCode != http.StatusNotFound {
		t.Errorf("posting: status %d", a.StatusCode)
	}
}

func TestTheFrontDoor(t *testing.T) {
	h := newHouse(t, nil)
	h.want(h.get("/"), http.StatusOK, "No one has spoken yet", "Teahouse is a place to talk")
	h.say("茶 室", "hi")
	h.want(h.get("/"), http.StatusOK, `href="/chat/%E8%8C%B6%20%E5%AE%A4/"`, "just now")
	for name, to := range map[string]string{"  lobby ": "/chat/lobby/", "a+b &c": "/chat/a+b%20&c/", "": "/chat/lobby/", " ": "/chat/lobby/"} {
		a := h.get("/chat/?room=" + url.QueryEscape(name))
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != to {
			t.Errorf("room %q: %d to %q, want %q", name, a.StatusCode, a.Header.Get("Location"), to)
		}
	}
	h.want(h.get("/chat/?room=a%2Fb"), http.StatusBadRequest, "A room name has 1 to 64 characters", `value="a/b"`)
}

func TestAFailingStoreIsSaidAndKeepsItsInsides(t *testing.T) {
	h := newHouse(t, func(o *pages.Options) { o.Chat = broken{o.Chat} })
	for _, path := range []string{"/", "/chat/lobby/", "/chat/lobby/1"} {
		a := h.get(path)
		h.want(a, http.StatusServiceUnavailable, "closed for a moment")
		if strings.Contains(a.body, "disk") || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: tells too much or not when to come back", path)
		}
	}
}

// broken is a Chat that can read nothing.
type broken struct{ pages.Chat }

func (broken) Page(context.Context, string, chat.Range) (chat.Page, error) {
	return chat.Page{}, fmt.Errorf("%w: %w", chat.ErrUnavailable, errors.New("disk on fire"))
}

func (broken) Recent(context.Context, int) ([]chat.Room, error) {
	return nil, fmt.Errorf("%w: %w", chat.ErrUnavailable, errors.New("disk on fire"))
}
