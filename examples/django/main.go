// Command django starts a Django site and Teahouse with one Redis between them,
// and ends them when it is interrupted. A room is one conversation, whichever of
// the two addresses people have.
//
//	go run ./examples/django
//	go run ./examples/django -toolkit   # the chat of examples/chat in place of Teahouse
//
// It needs redis-server, daphne and channels_redis. On Debian:
//
//	apt-get install redis-server daphne python3-django-channels python3-channels-redis
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// site is the Django project.
//
//go:embed site
var site embed.FS

func main() {
	toolkit := flag.Bool("toolkit", false, "start examples/chat in place of Teahouse")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *toolkit); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// run starts everything, waits for ctx, and ends it in the opposite order.
func run(ctx context.Context, toolkit bool) error {
	folder, err := os.MkdirTemp("", "teahouse-django-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	project, err := fs.Sub(site, "site")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(folder, "site"), project); err != nil {
		return err
	}
	server := filepath.Join(folder, "server")
	if err := build(ctx, server, toolkit); err != nil {
		return err
	}
	programs, err := three(folder, server, toolkit)
	if err != nil {
		return err
	}
	ended := make(chan error, len(programs))
	for _, p := range programs {
		c, err := p.start(ctx, ended)
		if err != nil {
			return err
		}
		defer c.stop()
	}
	fmt.Printf("Django  http://%s/chat/lobby/\nGo      http://%s/chat/lobby/\n", programs[1].address, programs[2].address)
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// build makes the binary of the Go side.
func build(ctx context.Context, path string, toolkit bool) error {
	program := "cmd/teahouse"
	if toolkit {
		program = "examples/chat"
	}
	command := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/teahouse-chat/teahouse/"+program)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	return nil
}

// three are Redis, Django and the Go side, in the order in which they start.
func three(folder, server string, toolkit bool) ([]program, error) {
	var address, host, port [3]string
	for i := range address {
		l, err := net.Listen("tcp", "127.0.0.1:0") // whatever is free
		if err != nil {
			return nil, err
		}
		address[i] = l.Addr().String()
		host[i], port[i], _ = net.SplitHostPort(address[i])
		defer l.Close() // when all three are chosen
	}
	url := "redis://" + address[0]
	redis := []string{"redis-server", "--bind", host[0], "--port", port[0], "--dir", folder, "--save", "", "--loglevel", "warning"}
	django := []string{"daphne", "-v", "0", "-b", host[1], "-p", port[1], "asgi:application"}
	chat := []string{server, "--listen", address[2], "--layer", url}
	if !toolkit {
		chat = append(chat, "--data", folder, "--django-rooms", "*", "--log-level", "warn")
	}
	return []program{
		{address: address[0], argv: redis},
		{address: address[1], argv: django, env: []string{
			"REDIS=" + url, "PYTHONPATH=" + filepath.Join(folder, "site"), "PYTHONDONTWRITEBYTECODE=1",
		}},
		{address: address[2], argv: chat},
	}, nil
}
