// Package js holds the JavaScript client of Teahouse: teahouse.js, one ES
// module without dependencies. The page uses it, and anybody else may.
package js

import _ "embed"

// Module is the text of teahouse.js.
//
//go:embed teahouse.js
var Module []byte
