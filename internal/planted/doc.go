// Package planted holds defects that the server does not have: constants that are
// false, unless a build tag makes one of them true. Where one is used, a single
// condition breaks a promise in the way that somebody might have by mistake.
//
// Tests build a server with each of them and demand that it is found, for tests
// that cannot fail prove nothing (e2e/chaos). Conditions that are false cost
// nothing: the compiler leaves them out.
//
// The tag of ResumeOffByOne is planted_resume_off_by_one, and so on.
package planted
