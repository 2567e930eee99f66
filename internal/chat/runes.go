package chat

import (
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	zwnj = '\u200c' // zero width non-joiner
	zwj  = '\u200d' // zero width joiner
)

// invisible tells whether r shows nothing by itself: the characters of the
// Unicode property Default_Ignorable_Code_Point (UAX #44), which holds
// zero-width spaces, joiners, bidi controls, variation selectors, tags and
// Hangul fillers, and the blank Braille pattern. White space is not among them.
func invisible(r rune) bool {
	switch {
	case r < 0xad:
		return false
	case r == 0x2800:
		return true
	case r >= 0xfff9 && r <= 0xfffb, // interlinear annotation: shown
		r >= 0x13430 && r <= 0x1345f, // Egyptian quadrat controls: shown
		unicode.Is(unicode.Prepended_Concatenation_Mark, r):
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// noncharacter tells whether r is one of the 66 code points that never will be
// characters.
func noncharacter(r rune) bool {
	return r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe
}

// joins tells whether a zero-width joiner or non-joiner changes what is seen
// between prev and next, the nearest characters that are not invisible (0 when
// there is none): a joiner inside an emoji sequence, either one after a virama
// (RFC 5892, appendix A), a non-joiner after an Arabic letter that would
// otherwise connect to the next.
func joins(r, prev, next rune) bool {
	if prev == 0 || next == 0 {
		return false
	}
	if virama(prev) && unicode.IsLetter(next) {
		return true
	}
	if r == zwj {
		return emoji(prev) && emoji(next)
	}
	return unicode.Is(unicode.Arabic, prev) && unicode.IsLetter(prev) && !rightJoining(prev) &&
		unicode.Is(unicode.Arabic, next) && unicode.IsLetter(next)
}

func virama(r rune) bool {
	const ccc = 9 // canonical combining class of every virama
	return r >= 0x94d && norm.NFC.PropertiesString(string(r)).CCC() == ccc
}

// emoji tells whether r can be part of an emoji joined by ZWJ.
func emoji(r rune) bool {
	return r >= 0x2190 && r <= 0x21ff || r >= 0x2300 && r <= 0x23ff || r >= 0x2600 && r <= 0x27bf ||
		r >= 0x2b00 && r <= 0x2bff || r >= 0x1f000 && r <= 0x1faff
}

// rightJoining tells whether the Arabic letter r never connects to the letter
// after it (Joining_Type R or U), so that a non-joiner there shows nothing.
func rightJoining(r rune) bool {
	switch {
	case r >= 0x621 && r <= 0x625, r == 0x627, r == 0x629, r >= 0x62f && r <= 0x632, r == 0x648,
		r >= 0x671 && r <= 0x677, r >= 0x688 && r <= 0x699, r == 0x6c0, r >= 0x6c3 && r <= 0x6cb,
		r == 0x6cd, r == 0x6cf, r >= 0x6d2 && r <= 0x6d5, r == 0x6ee, r == 0x6ef:
		return true
	}
	return false
}

// blank tells whether r takes no ink.
func blank(r rune) bool { return unicode.IsSpace(r) || invisible(r) }

// printableASCII tells whether s holds only the bytes 0x20 to 0x7e, which every
// normal form leaves alone.
func printableASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
