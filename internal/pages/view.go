package pages

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/teahouse-chat/teahouse/internal/auth"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/markup"
	"github.com/teahouse-chat/teahouse/web"
	"github.com/teahouse-chat/teahouse/wire"
)

// view is what every page shows.
type view struct {
	*web.Strings
	Theme       string // "light", "dark" or "" for the system's
	Here        string // path and query of this page, to come back to
	Title       string
	Description string
	Canonical   string // absolute; "" for none
	NoIndex     bool
	InRoom      bool
	Modules     []string // scripts that the page's script imports
}

// T is a sentence in the visitor's language.
func (v view) T(key string, pairs ...any) string { return v.Get(key, pairs...) }

// themeCookie holds "light" or "dark".
const themeCookie = "theme"

func (p *Pages) view(r *http.Request) view {
	v := view{Strings: p.strings[auth.Language(r)], Here: r.URL.RequestURI()}
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		v.Theme = c.Value
	}
	if r.Method == http.MethodPost {
		v.Here = r.URL.EscapedPath()
	}
	return v
}

// render writes a page, whole or, when its template fails, not at all.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, name string, v any) {
	var body bytes.Buffer
	if err := p.pages.ExecuteTemplate(&body, name, v); err != nil {
		p.log.ErrorContext(r.Context(), "page not rendered", "page", name, "err", err)
		http.Error(w, "500 this page is broken", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	// Kept by the browser for going back, but asked for again otherwise: the
	// page belongs to one guest, one language and one moment.
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Cookie, Accept-Language")
	w.WriteHeader(status)
	if _, err := w.Write(body.Bytes()); err != nil {
		p.log.DebugContext(r.Context(), "page not delivered", "page", name, "err", err)
	}
}

// plainHost are the hosts that may be copied into a header and a link.
var plainHost = regexp.MustCompile(`^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+)(:[0-9]{1,5})?$`)

// origin is where visitors reach this server, without a slash at the end, or ""
// when the request's Host is not to be repeated.
func (p *Pages) origin(r *http.Request) string {
	if p.base != "" {
		return p.base
	}
	if !plainHost.MatchString(r.Host) {
		return ""
	}
	return auth.Scheme(r) + "://" + r.Host
}

// roomPath is the path of a room's page; slug is canonical.
func roomPath(slug string) string { return "/chat/" + url.PathEscape(slug) + "/" }

// messageView is one message as the template shows it.
type messageView struct {
	Seq      int64
	Author   wire.Person
	Nonce    string
	Segments []markup.Segment
	At       string // RFC 3339, for machines
	Clock    string // hours and minutes in UTC, for people without JavaScript
	Day      string // set where a new day begins, in UTC
	Link     string
	Hue      int
	Seal     string
	Own      bool // by the visitor
	Head     bool // shows its author: not the same person within groupGap
	Target   bool // the one the address names
	Twin     bool // by one of two people of this name on the page
}

// groupGap is the time after which a person's next message shows who they are
// again. The page's scripts have the same figure.
const groupGap = 5 * time.Minute

func messageViews(page chat.Page, slug string, me chat.UserID, target int64) []messageView {
	out := make([]messageView, 0, len(page.Messages))
	twins := sameNames(page.Messages)
	var before chat.Message
	for i, m := range page.Messages {
		at := m.At.UTC()
		v := messageView{
			Seq:      m.Seq,
			Author:   person(m.Author),
			Nonce:    m.Nonce,
			Segments: markup.Segments(m.Text),
			At:       at.Format(wire.TimeFormat),
			Clock:    at.Format("15:04"),
			Link:     roomPath(slug) + strconv.FormatInt(m.Seq, 10),
			Hue:      markup.Hue(m.Author.ID.String()),
			Seal:     markup.Seal(m.Author.Name),
			Own:      m.Author.ID == me,
			Target:   target == m.Seq,
			Twin:     twins[m.Author.Name],
		}
		newDay := i == 0 || at.Format(time.DateOnly) != before.At.UTC().Format(time.DateOnly)
		if newDay {
			v.Day = at.Format(time.DateOnly)
		}
		v.Head = newDay || m.Author.ID != before.Author.ID || at.Sub(before.At) > groupGap
		out = append(out, v)
		before = m
	}
	return out
}

// sameNames are the names that more than one author has.
func sameNames(ms []chat.Message) map[string]bool {
	first, same := map[string]chat.UserID{}, map[string]bool{}
	for _, m := range ms {
		if id, known := first[m.Author.Name]; known && id != m.Author.ID {
			same[m.Author.Name] = true
		}
		first[m.Author.Name] = m.Author.ID
	}
	return same
}

func person(u chat.User) wire.Person {
	return wire.Person{ID: u.ID.String(), Name: u.Name, Tag: u.ID.Tag()}
}

// ago says how long ago something was, in the words of the visitor.
func ago(v view, d time.Duration) string {
	switch {
	case d < time.Minute:
		return v.T("ago.now")
	case d < time.Hour:
		return v.T("ago.minutes", "n", int(d.Minutes()))
	case d < 24*time.Hour:
		return v.T("ago.hours", "n", int(d.Hours()))
	}
	return v.T("ago.days", "n", int(d.Hours()/24))
}

// seqOf reads a position; ok is false for anything but a number that can be one.
func seqOf(s string) (seq int64, ok bool) {
	seq, err := strconv.ParseInt(s, 10, 64)
	return seq, err == nil && seq >= 0 && s == fmt.Sprint(seq)
}
