package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
)

// ErrHelp is what Load returns when -h or --help is among the flags.
var ErrHelp = flag.ErrHelp

// value is what one place says about a setting, and where.
type value struct {
	texts []string
	where string // as the operator wrote it, for errors
}

// Load reads the flags in args, then the environment in env (as os.Environ
// gives it), then the file that one of them names. It touches nothing else.
// Every error except ErrHelp is one sentence for the operator.
func Load(args, env []string) (Config, error) {
	flags, err := fromFlags(args)
	if err != nil {
		return Config{}, err
	}
	environ, err := fromEnv(env)
	if err != nil {
		return Config{}, err
	}
	sources := []map[string]value{flags, environ}
	for _, s := range sources {
		if v, ok := s["config"]; ok {
			file, err := fromFile(v)
			if err != nil {
				return Config{}, err
			}
			sources = append(sources, file)
			break
		}
	}
	return merge(sources)
}

// merge sets every setting from the first source that has it.
func merge(sources []map[string]value) (Config, error) {
	c := Default()
	for _, s := range settings {
		for _, source := range sources {
			v, ok := source[s.name]
			if !ok {
				continue
			}
			if err := s.set(&c, v.texts); err != nil {
				return Config{}, fmt.Errorf("%s %w", v.where, err)
			}
			break
		}
	}
	if err := check(c); err != nil {
		return Config{}, err
	}
	return c, nil
}

func fromFlags(args []string) (map[string]value, error) {
	got := make(map[string]value)
	set := flag.NewFlagSet("teahouse", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, s := range settings {
		set.Func(s.name, s.help, func(text string) error {
			v := got[s.name]
			v.where = "--" + s.name
			if s.list {
				v.texts = append(v.texts, split(text)...)
			} else {
				v.texts = []string{text}
			}
			got[s.name] = v
			return nil
		})
	}
	if err := set.Parse(args); err != nil {
		return nil, flagError(err)
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("%s is not a flag: settings are given as --name value, see teahouse help", Quote(set.Arg(0)))
	}
	return got, nil
}

// flagError turns the flag package's words into a sentence that says what to do.
func flagError(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return ErrHelp
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		return unknown("flag", "--"+Name(name), spell(name, func(s setting) string { return "--" + s.name }))
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Errorf("--%s has no value: write --%s VALUE", name, name)
	}
	return errors.New("a flag has no name: settings are given as --name value, see teahouse help") // it may hold a password
}

func fromEnv(env []string) (map[string]value, error) {
	got := make(map[string]value)
	for _, entry := range env {
		key, text, _ := strings.Cut(entry, "=")
		name, ok := strings.CutPrefix(key, envPrefix)
		if !ok || foreign(name) {
			continue
		}
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		s, ok := find(name)
		if !ok || s.env() != key {
			return nil, unknown("environment variable", Name(key), spell(name, setting.env))
		}
		v := value{texts: []string{text}, where: key}
		if s.list {
			v.texts = split(text)
		}
		got[s.name] = v
	}
	return got, nil
}

// foreign tells whether TEAHOUSE_name is somebody else's: Kubernetes gives
// every pod such variables for a service named teahouse.
func foreign(name string) bool {
	return name == "PORT" || strings.HasPrefix(name, "PORT_") || strings.HasPrefix(name, "SERVICE_")
}

func fromFile(from value) (map[string]value, error) {
	path := from.texts[0]
	if path == "" {
		return nil, nil
	}
	var keys map[string]any
	if _, err := toml.DecodeFile(path, &keys); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s names %s, which does not exist: create it or correct the path", from.where, Name(path))
		}
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			return nil, fmt.Errorf("%s names %s, which cannot be read: %w", from.where, Name(path), pathErr.Err)
		}
		// The line itself is not repeated: it may hold a password.
		var parseErr toml.ParseError
		if errors.As(err, &parseErr) {
			return nil, fmt.Errorf("%s, line %d: %s; write settings as name = \"value\"", path, parseErr.Position.Line, withoutValue(parseErr.Message))
		}
		return nil, fmt.Errorf("%s is not a TOML file: %w", path, err)
	}
	got := make(map[string]value)
	for _, key := range sortedKeys(keys) {
		s, ok := find(key)
		if !ok {
			return nil, unknown("setting", Name(key)+" in "+path, spell(key, func(s setting) string { return s.name }))
		}
		if !s.inFile() {
			return nil, fmt.Errorf("%s sets %s, which only a flag or %s can: remove the line", path, key, s.env())
		}
		texts, err := plain(keys[key], s.list)
		if err != nil {
			return nil, fmt.Errorf("%s in %s %w", key, path, err)
		}
		got[key] = value{texts: texts, where: key + " in " + path}
	}
	return got, nil
}

// withoutValue is what the parser says is wrong, without the beginning of a value
// that should have been in quotation marks.
func withoutValue(message string) string {
	if strings.HasPrefix(message, "expected value but found ") {
		return "a text is not in quotation marks"
	}
	return message
}

// plain turns a TOML value into the text that a flag would hold.
func plain(v any, list bool) ([]string, error) {
	switch v := v.(type) {
	case string:
		if list {
			return split(v), nil
		}
		return []string{v}, nil
	case bool, int64:
		return []string{fmt.Sprint(v)}, nil
	case []any:
		texts := make([]string, len(v))
		for i, e := range v {
			text, ok := e.(string)
			if !ok {
				return nil, errors.New(`holds something else than texts: write ["one", "two"]`)
			}
			texts[i] = text
		}
		return texts, nil
	}
	return nil, errors.New(`is not a text: write name = "value"`)
}

// split cuts a list at its commas; an empty text is an empty list.
func split(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func find(name string) (setting, bool) {
	for _, s := range settings {
		if s.name == name {
			return s, true
		}
	}
	return setting{}, false
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
