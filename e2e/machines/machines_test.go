// Package machines tests the HTTP interface as programs use it: posting with
// curl and with JSON, paging through a log, following it as server-sent events,
// and what every error looks like.
package machines_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

var client = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: server.Patience}

// answer is what came back, read as any of the answers of the API.
type answer struct {
	Status int
	Header http.Header
	Body   string

	wire.Message        // of a post
	Room         string // of a page
	Messages     []wire.Message
	First, Last  bool
	Code, Hint   string // of an error
	Said         string `json:"message"`
}

// call sends a request; headers are "Name: value" lines.
func call(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Status: res.StatusCode, Header: res.Header, Body: string(text)}
	if kind := res.Header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
		t.Errorf("%s %s answers %s", method, url, kind)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("%s %s answers %d %.300s: %v", method, url, a.Status, text, err)
	}
	return a
}

func messages(s *server.Server, room string) string {
	return s.URL + "/api/rooms/" + room + "/messages"
}

const asJSON = "Content-Type: application/json"

func TestPostingFromAShell(t *testing.T) {
	curl := server.Need(t, "curl")
	s := server.Start(t)
	jar := t.TempDir() + "/jar"
	run := func(args ...string) string {
		out, err := exec.Command(curl, append([]string{"-sS", "-w", "%{http_code}"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	var authors []string
	for _, c := range []struct {
		name string
		args []string
		text string
	}{
		{"as the manual says", []string{"-d", "hi"}, "hi"},
		{"a text that looks like a form", []string{"-d", "a=b&c=%20d"}, "a=b&c=%20d"},
		{"a text in Chinese", []string{"-d", "你好，茶馆"}, "你好，茶馆"},
		{"JSON", []string{"-H", asJSON, "-d", `{"text":"in JSON"}`}, "in JSON"},
		{"plain text", []string{"-H", "Content-Type: text/plain", "--data-binary", "two\nlines\n"}, "two\nlines"},
		{"with a jar", []string{"-c", jar, "-b", jar, "-d", "first of mine"}, "first of mine"},
		{"with the jar again", []string{"-c", jar, "-b", jar, "-d", "second of mine"}, "second of mine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := run(append(c.args, messages(s, "shell"))...)
			body, status, _ := strings.Cut(out, "\n")
			var m wire.Message
			if err := json.Unmarshal([]byte(body), &m); err != nil || status != "201" || m.Text != c.text {
				t.Fatalf("got %s, %v", out, err)
			}
			authors = append(authors, m.Author.ID)
		})
	}
	if len(authors) == 7 && (authors[5] != authors[6] || authors[4] == authors[5]) {
		t.Errorf("the jar keeps no person: %v", authors)
	}
	if log, err := guest.History(t.Context(), s.Address, "shell", 0); err != nil || len(log) != 7 {
		t.Errorf("%d messages, %v", len(log), err)
	}
}

func TestPostingIsRepeatable(t *testing.T) {
	s := server.Start(t)
	at := messages(s, "one")
	first := call(t, "POST", at, `{"text":"hi","nonce":"n"}`, asJSON)
	cookie := "Cookie: " + first.Header.Get("Set-Cookie")
	cookie, _, _ = strings.Cut(cookie, ";")
	if first.Status != http.StatusCreated || first.Seq != 1 || first.Nonce != "n" || first.Author.Tag == "" {
		t.Fatalf("got %d %s", first.Status, first.Body)
	}
	again := call(t, "POST", at, `{"text":"hi","nonce":"n"}`, asJSON, cookie)
	if again.Status != http.StatusOK || again.Body != first.Body {
		t.Errorf("again: %d %s", again.Status, again.Body)
	}
	other := call(t, "POST", at, `{"text":"ho","nonce":"n"}`, asJSON, cookie)
	if other.Status != http.StatusConflict || other.Code != "nonce_conflict" {
		t.Errorf("another text: %d %s", other.Status, other.Body)
	}
	bearer := strings.Replace(cookie, "Cookie: sid=", "Authorization: Bearer ", 1)
	same := call(t, "POST", at, `{"text":"mine too"}`, asJSON, bearer)
	if same.Status != http.StatusCreated || same.Author.ID != first.Author.ID {
		t.Errorf("by bearer token: %d %s", same.Status, same.Body)
	}
}

func TestPostsThatAreRefused(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	const plain = "Content-Type: text/plain"
	for _, c := range []struct {
		name, room, body, head string
		status                 int
		code                   string
	}{
		{"nothing", "a", "", plain, 422, "empty"},
		{"nothing that shows", "a", "\u200b \n", plain, 422, "empty"},
		{"8,001 characters", "a", strings.Repeat("茶", 8001), plain, 422, "too_long"},
		{"64 KiB and 1", "a", strings.Repeat("x", 64<<10+1), plain, 413, "too_long"},
		{"64 KiB and 1 of JSON", "a", `{"text":"` + strings.Repeat("x", 64<<10) + `"}`, asJSON, 413, "too_long"},
		{"NUL", "a", "a\x00b", plain, 422, "bad_text"},
		{"bytes that are no text", "a", "\xff\xfe", plain, 422, "bad_text"},
		{"HTML", "a", "<p>", "Content-Type: text/html", 415, "bad_type"},
		{"a form with files", "a", "--b--", "Content-Type: multipart/form-data; boundary=b", 415, "bad_type"},
		{"JSON that is none", "a", `{"text":`, asJSON, 400, "bad_json"},
		{"an array", "a", `["hi"]`, asJSON, 400, "bad_envelope"},
		{"no text", "a", `{}`, asJSON, 400, "bad_type"},
		{"an object for a text", "a", `{"text":{"$gt":""}}`, asJSON, 400, "bad_type"},
		{"a key twice", "a", `{"text":"a","text":"b"}`, asJSON, 400, "bad_json"},
		{"brackets without end", "a", strings.Repeat("[", 60_000), asJSON, 400, "too_deep"},
		{"a nonce of 65 characters", "a", `{"text":"hi","nonce":"` + strings.Repeat("n", 65) + `"}`, asJSON, 400, "bad_nonce"},
		{"a room with a slash", "a%2Fb", "hi", plain, 400, "bad_room"},
		{"a room that does not show", "%E2%80%8B", "hi", plain, 400, "bad_room"},
		{"a forged token", "a", "hi", "Authorization: Bearer forged", 401, "bad_token"},
		{"a forged cookie", "a", "hi", "Cookie: sid=forged", 401, "bad_token"},
		{"a token in the address", "a/messages?token=x&", "hi", plain, 400, "bad_query"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := messages(s, c.room)
			if room, query, found := strings.Cut(c.room, "?"); found {
				at = s.URL + "/api/rooms/" + room + "?" + query
			}
			a := call(t, "POST", at, c.body, c.head)
			if a.Status != c.status || a.Code != c.code || a.Said == "" || a.Hint == "" {
				t.Errorf("got %d %s, want %d %s", a.Status, a.Body, c.status, c.code)
			}
		})
	}
	if log, err := guest.History(t.Context(), s.Address, "a", 0); err != nil || len(log) != 0 {
		t.Errorf("%d messages of refused posts, %v", len(log), err)
	}
}

func TestAddressesAndMethodsThatAreNone(t *testing.T) {
	s := server.Start(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api/", 404}, {"GET", "/api/rooms/a", 404}, {"POST", "/api/rooms/a/", 404},
		{"DELETE", "/api/rooms/a/messages", 405}, {"PUT", "/api/rooms/a/messages", 405}, {"POST", "/api/rooms/a/stream", 405},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			a := call(t, c.method, s.URL+c.path, "")
			if a.Status != c.status || a.Code == "" || a.Hint == "" || a.Status == 405 && a.Header.Get("Allow") == "" {
				t.Errorf("got %d %s, Allow %q", a.Status, a.Body, a.Header.Get("Allow"))
			}
		})
	}
}

func TestTooManyPostsAreToldWhenToComeBack(t *testing.T) {
	s := server.Start(t)
	at := messages(s, "hasty")
	first := call(t, "POST", at, "hi")
	cookie, _, _ := strings.Cut("Cookie: "+first.Header.Get("Set-Cookie"), ";")
	for i := range 100 {
		a := call(t, "POST", at, fmt.Sprint("hi ", i), cookie)
		if a.Status == http.StatusCreated {
			continue
		}
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if a.Status != http.StatusTooManyRequests || a.Code != "rate_limited" || err != nil || wait < 1 || wait > 60 {
			t.Errorf("got %d %s, Retry-After %q", a.Status, a.Body, a.Header.Get("Retry-After"))
		}
		return
	}
	t.Error("100 posts in a row were taken")
}

func TestHealth(t *testing.T) {
	s := server.Start(t)
	for path, want := range map[string]int{
		"/healthz": http.StatusOK,
		"/readyz":  http.StatusOK,
		"/metrics": http.StatusNotFound, // not for visitors
	} {
		res, err := client.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if res.StatusCode != want || want == http.StatusOK && res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, Cache-Control %q", path, res.StatusCode, res.Header.Get("Cache-Control"))
		}
	}
}
