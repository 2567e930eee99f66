// Package browser tests the page in a real Chromium against the real server.
//
// The checks have the numbers and sentences of the project's list of what a
// visitor may expect (A sending, B composer, C timeline, E rendering, G title,
// H connection, I accessibility, J devices and languages). Two people are two
// browser contexts; a bad network is a link.Link between a page and the server.
//
// TEAHOUSE_SCREENSHOTS=1 also writes the pictures of the README. Pictures of
// every size, theme and language go to e2e/out, which git ignores.
// TEAHOUSE_PICTURES names a folder for pictures of tests that fail.
package browser
