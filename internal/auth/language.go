package auth

import (
	"net/http"

	"golang.org/x/text/language"
)

// Languages of the product; the first is for visitors who want neither.
var matcher = language.NewMatcher([]language.Tag{language.English, language.Chinese})

// LanguageCookie holds a visitor's choice: "en" or "zh".
const LanguageCookie = "lang"

// Language is "en" or "zh": the visitor's choice, else what their browser asks
// for (RFC 9110, section 12.5.4).
func Language(r *http.Request) string {
	if c, err := r.Cookie(LanguageCookie); err == nil && (c.Value == "en" || c.Value == "zh") {
		return c.Value
	}
	tags, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil {
		return "en"
	}
	tag, _, _ := matcher.Match(tags...)
	if base, _ := tag.Base(); base.String() == "zh" {
		return "zh"
	}
	return "en"
}
