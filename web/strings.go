package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Strings are the sentences of one language by key. A sentence may hold
// {places}; one that counts exists as key.one and key.other.
type Strings struct {
	lang  string
	table map[string]string
}

// Languages of the product, the first being the one for everybody else.
func Languages() []string { return []string{"en", "zh"} }

// LoadStrings reads the sentences of one of Languages.
func LoadStrings(lang string) (*Strings, error) {
	b, err := files.ReadFile("i18n/" + lang + ".json")
	if err != nil {
		return nil, fmt.Errorf("reading the strings of %s: %w", lang, err)
	}
	s := &Strings{lang: lang}
	if err := json.Unmarshal(b, &s.table); err != nil {
		return nil, fmt.Errorf("reading the strings of %s: %w", lang, err)
	}
	return s, nil
}

// Lang is the BCP 47 tag for the lang attribute.
func (s *Strings) Lang() string { return s.lang }

// Keys are all keys, sorted.
func (s *Strings) Keys() []string { return slices.Sorted(maps.Keys(s.table)) }

// Get is the sentence of key with its {places} filled from pairs of name and
// value. A pair "n" chooses between key.one and key.other. An unknown key gives
// the key itself, so that it is seen.
func (s *Strings) Get(key string, pairs ...any) string {
	text, ok := s.table[key]
	for i := 0; !ok && i+1 < len(pairs); i += 2 {
		if pairs[i] == "n" {
			text, ok = s.table[key+"."+s.plural(fmt.Sprint(pairs[i+1]))]
		}
	}
	if !ok {
		return key
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, fmt.Sprintf("{%v}", pairs[i]), fmt.Sprint(pairs[i+1]))
	}
	return text
}

// plural is the CLDR category, as Intl.PluralRules has it in the browser.
func (s *Strings) plural(n string) string {
	if s.lang == "en" && n == "1" {
		return "one"
	}
	return "other"
}

// module is the table as an ES module, for the page's scripts.
func (s *Strings) module() []byte {
	var b strings.Builder
	b.WriteString("export default {\n")
	for _, k := range s.Keys() {
		// Both are JSON strings, which are JavaScript strings too.
		fmt.Fprintf(&b, "%s: %s,\n", quote(k), quote(s.table[k]))
	}
	b.WriteString("};\n")
	return []byte(b.String())
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(b)
}
