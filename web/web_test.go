package web_test

import (
	"compress/gzip"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/client/js"
	"github.com/teahouse-chat/teahouse/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newAssets(t *testing.T) *web.Assets {
	t.Helper()
	a, err := web.NewAssets()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(t *testing.T, a *web.Assets, path, encoding string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w.Result()
}

func TestTheFirstLoadOfARoomIsAtMost60KBOfScriptsAndStylesCompressed(t *testing.T) {
	a := newAssets(t)
	total := 0
	for _, name := range append(a.Imports("room.js"), "room.js", "teahouse.css", "strings.zh.js") {
		size := a.Packed(name)
		if size == 0 {
			t.Errorf("%s is not there", name)
		}
		total += size
	}
	t.Logf("%d bytes", total)
	if total > 60<<10 {
		t.Errorf("the first load is %d bytes", total)
	}
}

func TestEveryModuleIsKnownAheadSoThatNoneIsFoundLate(t *testing.T) {
	a := newAssets(t)
	want := []string{"composer.js", "i18n.js", "log.js", "message.js", "panels.js", "prefs.js", "reading.js", "status.js", "teahouse.js", "text.js"}
	got := a.Imports("room.js")
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("imports of room.js (-want +got):\n%s", diff)
	}
}

func TestAnAssetIsKeptForEverAndCompressed(t *testing.T) {
	a := newAssets(t)
	resp := get(t, a, a.URL("teahouse.js"), "br, gzip;q=0.8")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("status %d, encoding %q", resp.StatusCode, resp.Header.Get("Content-Encoding"))
	}
	if cc := resp.Header.Get("Cache-Control"); !strings.Contains(cc, "immutable") {
		t.Errorf("Cache-Control %q", cc)
	}
	if ct := resp.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/javascript") {
		t.Errorf("Content-Type %q", ct)
	}
	zr, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(zr)
	if err != nil || string(body) != string(js.Module) {
		t.Errorf("teahouse.js comes out changed (%v)", err)
	}
}

func TestEncodingsThatAreNotAcceptedAreNotUsed(t *testing.T) {
	a := newAssets(t)
	for _, encoding := range []string{"", "br", "gzip;q=0", "gzip; q=0.000"} {
		if got := get(t, a, a.URL("teahouse.css"), encoding).Header.Get("Content-Encoding"); got != "" {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q", encoding, got)
		}
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	a := newAssets(t)
	for _, path := range []string{"/static/", "/static/0000000000000000/teahouse.css", a.URL("nothing.js"), a.URL(""), a.URL("../room.js"), a.URL("text.test.mjs")} {
		if got := get(t, a, path, "gzip").StatusCode; got != http.StatusNotFound {
			t.Errorf("%s: status %d", path, got)
		}
	}
}

func TestTheTemplatesParse(t *testing.T) {
	if _, err := web.Templates(template.FuncMap{"asset": func(s string) string { return s }}); err != nil {
		t.Error(err)
	}
}

// usedKeys finds the keys in scripts, templates and handlers: whole ones, and
// beginnings such as `connection.${name}` or "error.code." + code.
func usedKeys(t *testing.T) (whole, beginnings map[string]bool) {
	t.Helper()
	whole, beginnings = map[string]bool{}, map[string]bool{}
	key := regexp.MustCompile("[\"'`]([a-z]+(?:\\.[a-z]+)*\\.?)(\\$\\{|[\"'`])")
	for _, glob := range []string{"static/*.js", "templates/*.html", "../internal/pages/*.go"} {
		names, err := filepath.Glob(glob)
		if err != nil || len(names) == 0 {
			t.Fatalf("no files at %s: %v", glob, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range key.FindAllStringSubmatch(string(b), -1) {
				if strings.HasSuffix(m[1], ".") {
					beginnings[m[1]] = true
				} else {
					whole[m[1]] = true
				}
			}
		}
	}
	return whole, beginnings
}

func TestEverySentenceExistsInEveryLanguageAndIsUsed(t *testing.T) {
	whole, beginnings := usedKeys(t)
	used := func(key string) bool {
		key = strings.TrimSuffix(strings.TrimSuffix(key, ".one"), ".other")
		if whole[key] || strings.HasPrefix(key, "error.") && whole[strings.TrimSuffix(strings.TrimSuffix(key, ".title"), ".hint")] {
			return true
		}
		for b := range beginnings {
			if strings.HasPrefix(key, b) {
				return true
			}
		}
		return false
	}
	tables := map[string][]string{}
	for _, lang := range web.Languages() {
		s, err := web.LoadStrings(lang)
		if err != nil {
			t.Fatal(err)
		}
		tables[lang] = s.Keys()
		for _, key := range s.Keys() {
			if strings.TrimSpace(s.Get(key)) == "" {
				t.Errorf("%s: %s is empty", lang, key)
			}
			if !used(key) && !whole[key] {
				t.Errorf("%s: %s is used nowhere", lang, key)
			}
		}
	}
	if diff := cmp.Diff(tables["en"], tables["zh"]); diff != "" {
		t.Errorf("keys of en and zh differ (-en +zh):\n%s", diff)
	}
	known := map[string]bool{}
	for _, key := range tables["en"] {
		known[key], known[strings.TrimSuffix(strings.TrimSuffix(key, ".one"), ".other")] = true, true
		known[strings.TrimSuffix(strings.TrimSuffix(key, ".title"), ".hint")] = true
	}
	templates, err := filepath.Glob("templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`(?:\$|\b)?\.T "([^"]+)"|\bt\('([^']+)'`)
	scripts, err := filepath.Glob("static/*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(templates, scripts...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range asked.FindAllStringSubmatch(string(b), -1) {
			if key := m[1] + m[2]; !known[key] {
				t.Errorf("%s asks for %q, which no language has", name, key)
			}
		}
	}
}

func TestPlacesAreTheSameInEveryLanguage(t *testing.T) {
	place := regexp.MustCompile(`\{\w+\}`)
	places := func(s string) []string {
		found := place.FindAllString(s, -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	en, err := web.LoadStrings("en")
	if err != nil {
		t.Fatal(err)
	}
	zh, err := web.LoadStrings("zh")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range en.Keys() {
		if strings.HasSuffix(key, ".one") {
			continue // "a minute ago" may leave the number out
		}
		if diff := cmp.Diff(places(en.Get(key)), places(zh.Get(key))); diff != "" {
			t.Errorf("%s (-en +zh):\n%s", key, diff)
		}
	}
}

func TestGetChoosesThePluralAndFillsPlaces(t *testing.T) {
	en, err := web.LoadStrings("en")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want, got string
	}{
		{"1 person here", en.Get("people.button", "n", 1)},
		{"2 people here", en.Get("people.button", "n", 2)},
		{"Say something in a{b}", en.Get("composer.placeholder", "room", "a{b}")},
		{"no.such.key", en.Get("no.such.key", "n", 1)},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestNoScriptMakesMarkupOfText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setAttribute\('on|setAttribute\('style`)
	err := fs.WalkDir(os.DirFS("."), "static", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".js") {
			return err
		}
		b, err := os.ReadFile(name)
		if found := forbidden.Find(b); found != nil {
			t.Errorf("%s has %s", name, found)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	markup := regexp.MustCompile(`<[^>]*\s(?:on[a-z]+|style)=|<style|<script>`)
	templates, err := filepath.Glob("templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range templates {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := markup.Find(b); found != nil {
			t.Errorf("%s has %s, which the policy blocks", name, found)
		}
	}
}

func TestTheScriptsPassTheirOwnTests(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("TEAHOUSE_REQUIRE") != "" {
			t.Fatal("node is needed: apt-get install nodejs")
		}
		t.Skip("node is not installed")
	}
	out, err := exec.CommandContext(t.Context(), node, "--test", "tests/").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
