// Package pages serves what browsers open: the front door, the rooms, and the
// files they are made of.
//
// A room's page is complete as it leaves the server: it holds messages, links to
// the older and newer ones, and a form that posts, so it can be read and used
// without JavaScript. The scripts of package web then take over the same
// elements. What a page shows was read from the log at one position, told in
// data-last, and the scripts go on from there: nothing falls in between.
//
// Every answer carries the headers that keep text from becoming code (see
// protect). Handlers read and write only through chat.Service.
package pages

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/teahouse-chat/teahouse/internal/auth"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/web"
)

// Chat is what pages ask of the rules: *chat.Service.
type Chat interface {
	Page(ctx context.Context, room string, r chat.Range) (chat.Page, error)
	Recent(ctx context.Context, limit int) ([]chat.Room, error)
	Post(ctx context.Context, p chat.Post) (m chat.Message, duplicate bool, err error)
	Rename(ctx context.Context, n chat.Naming) (chat.User, error)
	Epoch() string
}

// Identity knows the guest of a request and gives new ones a cookie: *auth.Guests.
type Identity interface {
	Guest(w http.ResponseWriter, r *http.Request) (chat.Login, error)
}

// Options of Pages. Chat and Identity are required.
type Options struct {
	Chat     Chat
	Identity Identity

	// BaseURL is how visitors reach this server, for links that leave the
	// page: "https://chat.example". Empty: as the request has it.
	BaseURL string

	// Address is where a request comes from, the key of chat.LimitRooms. Nil
	// is the address of the connection.
	Address func(*http.Request) string

	Logger *slog.Logger     // nil is slog.Default
	Now    func() time.Time // nil is time.Now
}

// Pages is the handler of all pages and static files. Mount it at "/".
type Pages struct {
	// fixed
	chat     Chat
	identity Identity
	base     string
	address  func(*http.Request) string
	log      *slog.Logger
	now      func() time.Time
	assets   *web.Assets
	pages    *template.Template
	strings  map[string]*web.Strings
	mux      *http.ServeMux
}

// New reads the embedded templates and files.
func New(o Options) (*Pages, error) {
	assets, err := web.NewAssets()
	if err != nil {
		return nil, err
	}
	p := &Pages{
		chat: o.Chat, identity: o.Identity, base: trimSlash(o.BaseURL), address: o.Address,
		log: o.Logger, now: o.Now, assets: assets, strings: make(map[string]*web.Strings),
		mux: http.NewServeMux(),
	}
	if p.address == nil {
		p.address = remoteHost
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.now == nil {
		p.now = time.Now
	}
	for _, lang := range web.Languages() {
		if p.strings[lang], err = web.LoadStrings(lang); err != nil {
			return nil, err
		}
	}
	if p.pages, err = web.Templates(template.FuncMap{"asset": assets.URL}); err != nil {
		return nil, err
	}
	p.routes()
	return p, nil
}

func (p *Pages) routes() {
	p.mux.HandleFunc("GET /{$}", p.home)
	p.mux.HandleFunc("GET /chat/{$}", p.choose)
	p.mux.HandleFunc("GET /chat/{room}", p.redirect)
	p.mux.HandleFunc("GET /chat/{room}/{$}", p.room)
	p.mux.HandleFunc("POST /chat/{room}/{$}", p.post)
	p.mux.HandleFunc("GET /chat/{room}/{seq}", p.permalink)
	p.mux.HandleFunc("GET /chat/{room}/qr.svg", p.qr)
	p.mux.HandleFunc("GET /chat/{room}/invite", p.invite)
	p.mux.HandleFunc("POST /preferences", p.preferences)
	p.mux.Handle("GET /static/", p.assets)
	p.mux.HandleFunc("GET /favicon.svg", p.file("favicon.svg"))
	p.mux.HandleFunc("GET /favicon.ico", p.file("favicon.svg"))
	p.mux.HandleFunc("GET /icon-maskable.svg", p.file("icon-maskable.svg"))
	p.mux.HandleFunc("GET /robots.txt", p.robots)
	p.mux.HandleFunc("GET /manifest.webmanifest", p.manifest)
	p.mux.HandleFunc("/", p.notFound)
}

// ServeHTTP answers one request.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w, r)
	p.mux.ServeHTTP(w, r)
}

// file serves a static file that browsers look for under a fixed name.
func (p *Pages) file(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { p.assets.ServeFile(w, r, name) }
}

func (p *Pages) notFound(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "405 this address is only for reading", http.StatusMethodNotAllowed)
		return
	}
	p.problem(w, r, http.StatusNotFound, "error.notfound")
}

// problem shows a page that explains; key.title and key.hint are its sentences.
func (p *Pages) problem(w http.ResponseWriter, r *http.Request, status int, key string) {
	v := p.view(r)
	v.Title, v.Description, v.NoIndex = v.T(key+".title"), v.T(key+".hint"), true
	p.render(w, r, status, "problem", v)
}

// failed answers after an error of the rules or the store.
func (p *Pages) failed(w http.ResponseWriter, r *http.Request, doing string, err error) {
	switch {
	case errors.Is(err, chat.ErrBadRoom):
		p.problem(w, r, http.StatusNotFound, "error.bad.room")
	case r.Context().Err() != nil:
		// The visitor has left; nobody reads an answer.
	case errors.Is(err, auth.ErrTokenInURL):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case isRate(err):
		retryAfter(w, err)
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	default:
		if !errors.Is(err, chat.ErrUnavailable) { // that the rules have logged
			p.log.ErrorContext(r.Context(), "page failed", "doing", doing, "err", err)
		}
		w.Header().Set("Retry-After", "2")
		p.problem(w, r, http.StatusServiceUnavailable, "error.unavailable")
	}
}

func isRate(err error) bool {
	var rate *chat.RateError
	return errors.As(err, &rate)
}

// retryAfter says in whole seconds when a request is worth repeating.
func retryAfter(w http.ResponseWriter, err error) {
	if wait := chat.RetryAfter(err); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
	}
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func trimSlash(s string) string {
	for len(s) > 0 && s[len(s)-1] == '/' {
		s = s[:len(s)-1]
	}
	return s
}
