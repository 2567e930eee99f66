// Package web is what browsers are sent: the templates of the pages, and the
// scripts, styles and pictures, embedded in the binary. There is no build step:
// the files in static are served as they are written.
//
// Its nouns: Assets are the static files under one prefix made from the hash of
// all of them, so that a browser may keep each for ever and a new version is
// new as a whole; Strings are the sentences of one language, used by templates
// and scripts alike.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/client/js"
)

//go:embed static templates i18n
var files embed.FS

// Assets are the static files, ready to be served.
type Assets struct {
	prefix string // "/static/" and the hash, without a slash at the end
	files  map[string]asset
}

type asset struct {
	kind   string // media type
	plain  []byte
	packed []byte // gzip of plain; nil where it would not be smaller
}

// NewAssets reads the embedded files, compresses them and computes their prefix.
func NewAssets() (*Assets, error) {
	raw, err := readStatic()
	if err != nil {
		return nil, err
	}
	raw["teahouse.js"] = js.Module
	for _, lang := range Languages() {
		s, err := LoadStrings(lang)
		if err != nil {
			return nil, err
		}
		raw["strings."+lang+".js"] = s.module()
	}
	a := &Assets{files: make(map[string]asset, len(raw))}
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		fmt.Fprintf(hash, "%s\x00%d\x00", name, len(raw[name]))
		hash.Write(raw[name])
		packed, err := pack(raw[name])
		if err != nil {
			return nil, fmt.Errorf("compressing %s: %w", name, err)
		}
		a.files[name] = asset{kind: kinds[path.Ext(name)], plain: raw[name], packed: packed}
	}
	a.prefix = "/static/" + hex.EncodeToString(hash.Sum(nil)[:8])
	return a, nil
}

// kinds is fixed. The system's own table differs from one to the next, and is
// large.
var kinds = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

func readStatic() (map[string][]byte, error) {
	raw := make(map[string][]byte)
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		raw[strings.TrimPrefix(name, "static/")] = b
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the embedded files: %w", err)
	}
	return raw, nil
}

func pack(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if out.Len() >= len(b) {
		return nil, nil
	}
	return out.Bytes(), nil
}

// URL is the path at which the file of this name is served.
func (a *Assets) URL(name string) string { return a.prefix + "/" + name }

// imported finds the static imports of our own modules.
var imported = regexp.MustCompile(`(?m)^import .*from '\./([a-z0-9.-]+\.js)';$`)

// Imports are the modules that the script of this name imports, and those that
// they import: what a browser needs beside it, so that a page can name them all
// at once instead of being asked for one after another.
func (a *Assets) Imports(script string) []string {
	var found []string
	from := []string{script}
	for len(from) > 0 {
		for _, m := range imported.FindAllSubmatch(a.files[from[0]].plain, -1) {
			if name := string(m[1]); name != script && !slices.Contains(found, name) {
				found = append(found, name)
				from = append(from, name)
			}
		}
		from = from[1:]
	}
	return found
}

// Packed is the number of bytes that the file costs on the wire, compressed; 0
// for a file that does not exist.
func (a *Assets) Packed(name string) int {
	f := a.files[name]
	if f.packed != nil {
		return len(f.packed)
	}
	return len(f.plain)
}

// ServeFile answers with one file, outside the prefix and for a short time.
func (a *Assets) ServeFile(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("Cache-Control", "public, max-age=3600")
	a.serve(w, r, name)
}

// ServeHTTP serves GET /static/{hash}/{name}. Another hash than the present one
// is 404: it belongs to another version, whose pages are told to reload.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, a.prefix+"/")
	if _, known := a.files[name]; !ok || !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	a.serve(w, r, name)
}

func (a *Assets) serve(w http.ResponseWriter, r *http.Request, name string) {
	f := a.files[name]
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if f.packed != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.packed
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// acceptsGzip reads Accept-Encoding (RFC 9110, section 12.5.3).
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.ReplaceAll(strings.TrimSpace(params), " ", "")
			return strings.TrimRight(q, "0.") != "q="
		}
	}
	return false
}

// Templates parses the pages. They call only the functions given and methods of
// the value they show.
func Templates(funcs template.FuncMap) (*template.Template, error) {
	t, err := template.New("").Funcs(funcs).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the templates: %w", err)
	}
	return t, nil
}
