package chat

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// reservedNames are kept for the server and for addressing everybody.
var reservedNames = [...]string{
	"admin", "admins", "administrator", "administration", "root", "superuser", "sysadmin", "sysop", "operator",
	"system", "server", "service", "daemon", "localhost", "teahouse", "tea house", "bot", "official", "owner", "host",
	"mod", "mods", "moderator", "moderators", "staff", "support", "security", "abuse", "webmaster", "postmaster",
	"everyone", "everybody", "here", "all", "channel", "room", "nobody", "anonymous", "guest", "null", "undefined",
	"me", "you",
	"管理员", "管理員", "超级管理员", "系统", "系統", "系统消息", "服务器", "伺服器", "所有人", "全体成员", "全體成員", "大家", "版主", "房主",
	"主持人", "客服", "官方", "匿名", "访客", "游客", "茶馆", "茶館",
}

var reservedSkeletons = sync.OnceValue(func() map[string]bool {
	m := make(map[string]bool, len(reservedNames))
	for _, name := range reservedNames {
		m[skeleton(name)] = true
	}
	return m
})

// reserved tells whether name passes for one of the reserved names.
func reserved(name string) bool { return reservedSkeletons()[skeleton(name)] }

// skeleton maps names that can be taken for each other to one string, in the
// manner of UTS #39, section 4, with a table no larger than the reserved names
// need: case, accents, spaces and punctuation are dropped, look-alikes of Latin
// letters become these, and i, l, 1 become l.
func skeleton(s string) string {
	return strings.Map(func(r rune) rune {
		r = unicode.ToLower(r)
		if like, ok := lookalikes[r]; ok {
			return like
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, norm.NFKD.String(s))
}

// lookalikes maps lower-case letters, digits and signs to the Latin letter they
// are taken for.
var lookalikes = map[rune]rune{
	'0': 'o', '1': 'l', 'i': 'l', '|': 'l', '3': 'e', '4': 'a', '5': 's', '7': 't', '$': 's', '@': 'a',
	// Latin letters without a decomposition
	'ı': 'l', 'ł': 'l', 'ɩ': 'l', 'ø': 'o', 'đ': 'd', 'ɑ': 'a', 'ɡ': 'g', 'ħ': 'h', 'ŧ': 't', 'ʏ': 'y', 'ɴ': 'n', 'ʀ': 'r',
	'ᴀ': 'a', 'ᴅ': 'd', 'ᴇ': 'e', 'ᴍ': 'm', 'ᴏ': 'o', 'ᴛ': 't', 'ꜱ': 's', 'ʟ': 'l', 'ʜ': 'h', 'ᴠ': 'v', 'ʙ': 'b', 'ɪ': 'l',
	// Cyrillic
	'а': 'a', 'в': 'b', 'с': 'c', 'ԁ': 'd', 'е': 'e', 'һ': 'h', 'н': 'h', 'і': 'l', 'ӏ': 'l', 'ј': 'j', 'к': 'k', 'м': 'm',
	'о': 'o', 'р': 'p', 'ԛ': 'q', 'ѕ': 's', 'т': 't', 'у': 'y', 'ѵ': 'v', 'ԝ': 'w', 'х': 'x', 'п': 'n', 'г': 'r', 'ԍ': 'g',
	// Greek
	'α': 'a', 'β': 'b', 'ε': 'e', 'η': 'n', 'ι': 'l', 'κ': 'k', 'μ': 'm', 'ν': 'v', 'ο': 'o', 'ρ': 'p', 'τ': 't', 'υ': 'u',
	'χ': 'x', 'ω': 'w', 'σ': 'o', 'ϲ': 'c', 'ϳ': 'j', 'ζ': 'z', 'γ': 'y',
	// Armenian
	'օ': 'o', 'ո': 'n', 'ս': 'u', 'հ': 'h', 'ց': 'g', 'ղ': 'n', 'տ': 'm', 'զ': 'q',
	// Cherokee, lower case of the letters that look like Latin capitals
	'ꭺ': 'a', 'ꭼ': 'e', 'ꭲ': 'l', 'ꮇ': 'm', 'ꮪ': 's', 'ꮋ': 'h', 'ꭱ': 'r', 'ꭰ': 'd',
}
