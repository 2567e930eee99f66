package pages

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/markup"
	"github.com/teahouse-chat/teahouse/wire"
)

// roomsShown is the number of rooms listed at the front door.
const roomsShown = 24

// homeView is the front door.
type homeView struct {
	view
	Rooms   []roomLine
	Fresh   roomLine // a room that nobody has yet
	Draft   string   // name that was refused
	Problem string
}

// roomLine is a room in a list.
type roomLine struct {
	Name, Path string
	At         string // RFC 3339
	Ago        string
	Hue        int
	Seal       string
}

func (p *Pages) home(w http.ResponseWriter, r *http.Request) {
	p.frontDoor(w, r, http.StatusOK, &homeView{})
}

// choose brings GET /chat/?room=NAME to the room's page, and without a name to
// the room that the empty field suggests.
func (p *Pages) choose(w http.ResponseWriter, r *http.Request) {
	s := p.view(r)
	name := r.URL.Query().Get("room")
	if strings.TrimSpace(name) == "" {
		name = s.T("home.placeholder")
	}
	slug, err := chat.RoomSlug(name)
	if err != nil {
		p.frontDoor(w, r, http.StatusBadRequest, &homeView{Draft: name, Problem: s.T("error.bad.room.hint")})
		return
	}
	http.Redirect(w, r, roomPath(slug), http.StatusSeeOther)
}

func (p *Pages) frontDoor(w http.ResponseWriter, r *http.Request, status int, v *homeView) {
	rooms, err := p.chat.Recent(r.Context(), roomsShown)
	if err != nil {
		p.failed(w, r, "listing rooms", err)
		return
	}
	v.view = p.view(r)
	v.Here = "/"
	v.Modules = append(p.assets.Imports("home.js"), "strings."+v.Lang()+".js")
	v.Title, v.Description = v.T("app.name"), v.T("home.intro.first")
	if o := p.origin(r); o != "" {
		v.Canonical = o + "/"
	}
	now := p.now()
	for _, room := range rooms {
		v.Rooms = append(v.Rooms, roomLine{
			Name: room.Slug, Path: roomPath(room.Slug),
			At: room.LastAt.UTC().Format(wire.TimeFormat), Ago: ago(v.view, now.Sub(room.LastAt)),
			Hue: markup.Hue(room.Slug), Seal: markup.Seal(room.Slug),
		})
	}
	name := freshRoom(v.Lang())
	v.Fresh = roomLine{Name: name, Path: roomPath(name)}
	p.render(w, r, status, "home", v)
}

// Words of suggested room names, by language: what stands before and after.
var freshWords = map[string][2][]string{
	"en": {
		{"moonlit", "rainy", "quiet", "morning", "bamboo", "pine", "misty", "autumn", "riverside", "lantern", "paper", "willow"},
		{"oolong", "pavilion", "kettle", "veranda", "garden", "courtyard", "gaiwan", "jasmine", "bridge", "terrace", "table", "window"},
	},
	"zh": {
		{"听雨", "望月", "清风", "竹影", "松涛", "晨雾", "秋水", "临河", "灯下", "纸窗", "柳岸", "云起"},
		{"茶席", "小亭", "山房", "庭院", "回廊", "花间", "石桥", "书案", "露台", "草堂", "雅集", "轩窗"},
	},
}

// freshRoom is a name nobody guesses: two words and 30 random bits, which is a
// courtesy to strangers who meet by chance and no secret.
func freshRoom(lang string) string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	n := binary.BigEndian.Uint64(b[:])
	words := freshWords[lang]
	before, after := words[0], words[1]
	name := before[n%uint64(len(before))]
	n /= uint64(len(before))
	if lang == "en" {
		name += "-"
	}
	return name + after[n%uint64(len(after))] + "-" + strings.ToLower(rand.Text()[:6])
}

// preferences keeps a visitor's language and theme in cookies.
func (p *Pages) preferences(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
		return
	}
	if lang := r.PostForm.Get("lang"); p.strings[lang] != nil {
		http.SetCookie(w, preference("lang", lang))
	}
	switch theme := r.PostForm.Get("theme"); theme {
	case "light", "dark":
		http.SetCookie(w, preference(themeCookie, theme))
	case "system":
		c := preference(themeCookie, "")
		c.MaxAge = -1
		http.SetCookie(w, c)
	}
	http.Redirect(w, r, localPath(r.PostForm.Get("to")), http.StatusSeeOther)
}

// preference is a cookie that the page's scripts may read and set too.
func preference(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/",
		MaxAge: int(365 * 24 * time.Hour / time.Second), SameSite: http.SameSiteLaxMode,
	}
}

// localPath is a path of this site, never another site: "/" for anything else.
func localPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String()
}

// robots lets rooms be previewed where their links are sent; their pages say
// themselves that they are not to be indexed.
func (p *Pages) robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("User-agent: *\nDisallow: /api/\nDisallow: /ws\n"))
}

func (p *Pages) manifest(w http.ResponseWriter, r *http.Request) {
	v := p.view(r)
	body, err := json.Marshal(map[string]any{
		"name": v.T("app.name"), "short_name": v.T("app.name"), "description": v.T("app.tagline"),
		"lang": v.Lang(), "id": "/", "start_url": "/", "scope": "/", "display": "standalone",
		"background_color": "#f4eee1", "theme_color": "#f4eee1",
		"icons": []map[string]string{
			{"src": "/favicon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
			{"src": "/icon-maskable.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "maskable"},
		},
	})
	if err != nil {
		p.failed(w, r, "writing the manifest", err)
		return
	}
	w.Header().Set("Content-Type", "application/manifest+json")
	w.Header().Set("Vary", "Cookie, Accept-Language")
	_, _ = w.Write(body)
}
