package pages

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/markup"
	"github.com/teahouse-chat/teahouse/wire"
)

const (
	// pageSize is the number of messages in a room's page.
	pageSize = 50
	// maxForm is the size in bytes of a posted form: a message of MaxText code
	// points, each as four percent-encoded bytes, and the other fields.
	maxForm = wire.MaxText*12 + 8<<10
)

// roomView is the page of a room.
type roomView struct {
	view
	invitation
	Room        string // canonical name
	Path        string
	Me          wire.Person
	MyHue       int
	MySeal      string
	Epoch       string
	LastSeq     int64 // the room's newest seq when the page was read
	End         int64 // everything up to here is on the page, or LastSeq
	First       bool  // nothing is older than the page
	Target      int64 // seq that the address names; 0 for none
	Older       string
	Newer       string
	Messages    []messageView
	Nonce       string // of the form, so that sending it twice says it once
	Draft       string // text that was refused
	Problem     string // why it was refused
	NameDraft   string // name that was refused
	NameProblem string // why it was refused
	status      int    // of the answer; 0 is 200
}

// slug reads the room of a request. Other spellings than the canonical one are
// sent there; then, and for what is no room name, the request is answered and
// ok is false.
func (p *Pages) slug(w http.ResponseWriter, r *http.Request, rest string) (slug string, ok bool) {
	name := r.PathValue("room")
	slug, err := chat.RoomSlug(name)
	if err != nil {
		p.failed(w, r, "reading the name of a room", err)
		return "", false
	}
	if slug != name {
		to := url.URL{Path: "/chat/" + slug + "/" + rest, RawPath: roomPath(slug) + rest, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
		return "", false
	}
	return slug, true
}

// redirect adds the slash at the end.
func (p *Pages) redirect(w http.ResponseWriter, r *http.Request) {
	slug, err := chat.RoomSlug(r.PathValue("room"))
	if err != nil {
		p.failed(w, r, "reading the name of a room", err)
		return
	}
	to := url.URL{Path: "/chat/" + slug + "/", RawPath: roomPath(slug), RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
}

// room shows the newest messages, or those that ?before or ?after ask for.
func (p *Pages) room(w http.ResponseWriter, r *http.Request) {
	slug, ok := p.slug(w, r, "")
	if !ok {
		return
	}
	which := chat.Newest(pageSize)
	query := r.URL.Query()
	if seq, ok := seqOf(query.Get("before")); ok {
		which.Before = seq
	} else if seq, ok := seqOf(query.Get("after")); ok {
		which.After = seq
	}
	p.show(w, r, &roomView{Room: slug}, which)
}

// permalink shows the messages around one.
func (p *Pages) permalink(w http.ResponseWriter, r *http.Request) {
	seq, ok := seqOf(r.PathValue("seq"))
	if !ok || seq == 0 {
		p.notFound(w, r)
		return
	}
	slug, ok := p.slug(w, r, r.PathValue("seq"))
	if !ok {
		return
	}
	which := chat.Newest(pageSize)
	which.Around = seq
	p.show(w, r, &roomView{Room: slug, Target: seq}, which)
}

// show fills and renders v, a room's page that may hold a refused draft.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, v *roomView, which chat.Range) {
	login, err := p.identity.Guest(w, r)
	if err != nil {
		p.failed(w, r, "knowing the guest", err)
		return
	}
	log, err := p.chat.Page(r.Context(), v.Room, which)
	if err != nil {
		p.failed(w, r, "reading a room", err)
		return
	}
	if v.Target != 0 && (v.Target > log.LastSeq || len(log.Messages) == 0) {
		p.notFound(w, r)
		return
	}
	v.view = p.view(r)
	v.fill(log, login.User)
	v.Epoch, v.InRoom, v.NoIndex = p.chat.Epoch(), true, true
	v.Modules = append(p.assets.Imports("room.js"), "strings."+v.Lang()+".js")
	v.Title = v.Room + " – " + v.T("app.name")
	v.Description = v.T("app.tagline")
	v.invitation = p.invitation(r, v.Room)
	v.Canonical = v.Link
	p.render(w, r, cmp.Or(v.status, http.StatusOK), "room", v)
}

// fill takes over what was read from the log.
func (v *roomView) fill(log chat.Page, me chat.User) {
	v.Path = roomPath(v.Room)
	v.Me = person(me)
	v.MyHue, v.MySeal = markup.Hue(v.Me.ID), markup.Seal(me.Name)
	v.LastSeq, v.End, v.First = log.LastSeq, log.LastSeq, log.First
	v.Messages = messageViews(log, v.Room, me.ID, v.Target)
	if v.Nonce == "" {
		v.Nonce = rand.Text()
	}
	if n := len(log.Messages); n > 0 {
		if !log.First {
			v.Older = fmt.Sprintf("%s?before=%d", v.Path, log.Messages[0].Seq)
		}
		if !log.Last {
			v.End = log.Messages[n-1].Seq
			v.Newer = fmt.Sprintf("%s?after=%d", v.Path, v.End)
		}
	}
}

// post takes the forms of visitors without JavaScript: a message, or a name.
func (p *Pages) post(w http.ResponseWriter, r *http.Request) {
	slug, err := chat.RoomSlug(r.PathValue("room"))
	if err != nil {
		p.failed(w, r, "reading the name of a room", err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	login, err := p.identity.Guest(w, r)
	if err != nil {
		p.failed(w, r, "knowing the guest", err)
		return
	}
	text, nonce, name := r.PostForm.Get("text"), r.PostForm.Get("nonce"), r.PostForm.Get("name")
	if r.PostForm.Has("name") {
		_, err = p.chat.Rename(r.Context(), chat.Naming{
			User: login.User, Login: &login, Name: name, Address: p.address(r),
		})
	} else {
		_, _, err = p.chat.Post(r.Context(), chat.Post{
			Room: slug, Author: login.User, Login: &login, Nonce: nonce, Text: text, Address: p.address(r),
		})
	}
	if err != nil {
		p.refused(w, r, &roomView{Room: slug, Draft: text, Nonce: nonce, NameDraft: name}, err)
		return
	}
	http.Redirect(w, r, roomPath(slug)+"#end", http.StatusSeeOther)
}

// refused shows the room with the text or name that was not taken and the reason.
func (p *Pages) refused(w http.ResponseWriter, r *http.Request, v *roomView, err error) {
	if r.Context().Err() != nil {
		return
	}
	code, sentence := chat.Code(err)
	s := p.view(r)
	told := s.T("error.code." + code)
	switch {
	case code == "bad_name":
		told = s.T("name.bad." + nameFault(v.NameDraft))
	case told == "error.code."+code:
		told = sentence
	}
	if r.PostForm.Has("name") {
		v.NameProblem = told
	} else {
		v.Problem = told
	}
	if code == "nonce_conflict" || code == "bad_nonce" {
		v.Nonce = "" // a new one: with this nonce it can never be said
	}
	v.status = refusalStatus(code)
	retryAfter(w, err)
	p.show(w, r, v, chat.Newest(pageSize))
}

// refusalStatus is the HTTP status for a refusal of the rules.
func refusalStatus(code string) int {
	switch code {
	case "rate_limited":
		return http.StatusTooManyRequests
	case "unavailable", "busy":
		return http.StatusServiceUnavailable
	case "nonce_conflict":
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

// nameFault is the end of the key of the sentence about a name that was refused.
// The page's scripts choose in the same way.
func nameFault(name string) string {
	hidden := func(r rune) bool {
		return r != '\u200c' && r != '\u200d' && unicode.In(r, unicode.C, unicode.Other_Default_Ignorable_Code_Point)
	}
	switch name = strings.TrimSpace(name); {
	case name == "":
		return "empty"
	case utf8.RuneCountInString(norm.NFKC.String(name)) > chat.MaxName:
		return "long"
	case strings.ContainsFunc(name, hidden):
		return "hidden"
	}
	return "alike"
}
