package config

// Wrong is an error of which a setting is the cause, and nothing that passes: the
// same start fails again, so that nobody should try it.
type Wrong struct{ Err error }

func (w *Wrong) Error() string { return w.Err.Error() }

// Unwrap is for errors.Is and errors.As.
func (w *Wrong) Unwrap() error { return w.Err }
