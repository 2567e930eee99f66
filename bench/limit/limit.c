/*
 * The limit: what a round of writes costs when nothing else is done.
 *
 * One thread around one epoll. It answers every WebSocket handshake alike,
 * takes posts as they come, and after each batch of events writes each room's
 * posts to each of its members: one write per member and run of about RUN bytes,
 * the same bytes for all. A post "{...}" becomes the frame
 * "{...,"pad":"xxx"}", padded to what the frame of a real chat server carries
 * besides its text. Nothing is stored, checked or timed out.
 *
 * limit PORT PAD RUN; on SIGTERM it says what it did and what that cost.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 1 << 17, MAX_READ = 1 << 18, MAX_PAD = 1024, BATCH = 512 };

struct room {
	char name[64];
	int *members, count, room_for; /* descriptors */
	unsigned char *run;            /* frames of this batch, one after the other */
	size_t used, space;
	size_t *ends;                  /* where each frame ends */
	int frames, frames_for, dirty;
	struct room *next_dirty;
};

struct conn {
	struct room *room; /* none before the handshake */
	unsigned char *rest;
	size_t rest_used;
};

static struct conn conns[MAX_FD];
static struct room **rooms;
static int room_count;
static struct room *dirty;
static unsigned char buffer[MAX_READ * 2];
static char pad[MAX_PAD + 16];
static size_t pad_size, run_size;
static int epoll_fd;
static volatile sig_atomic_t ending;
static unsigned long long deliveries, writes, bytes;
static double cpu_before;

static void die(const char *what) { perror(what); exit(1); }

static void *grow(void *p, size_t size)
{
	p = realloc(p, size);
	if (!p) die("memory");
	return p;
}

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void on_signal(int number) { (void)number; ending = 1; }

static struct room *find_room(const char *name, size_t size)
{
	if (size >= sizeof rooms[0]->name) size = sizeof rooms[0]->name - 1;
	for (int i = room_count - 1; i >= 0; i--)
		if (strlen(rooms[i]->name) == size && !memcmp(rooms[i]->name, name, size)) return rooms[i];
	struct room *r = calloc(1, sizeof *r);
	if (!r) die("memory");
	memcpy(r->name, name, size);
	rooms = grow(rooms, (room_count + 1) * sizeof *rooms);
	return rooms[room_count++] = r;
}

static void leave(int fd)
{
	struct conn *c = &conns[fd];
	if (c->room)
		for (int i = 0; i < c->room->count; i++)
			if (c->room->members[i] == fd) {
				c->room->members[i] = c->room->members[--c->room->count];
				break;
			}
	free(c->rest);
	memset(c, 0, sizeof *c);
	close(fd);
}

/* Sends all of it, waiting for the reader where it must. */
static int send_all(int fd, const unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = write(fd, p, n);
		writes++;
		if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
			struct pollfd wait = {fd, POLLOUT, 0};
			if (poll(&wait, 1, 10000) == 0) return -1;
			continue;
		}
		if (sent < 0) return -1;
		bytes += sent;
		p += sent;
		n -= sent;
	}
	return 0;
}

/* One round: the room's frames of this batch, in even runs, to every member. */
static void fan_out(struct room *r)
{
	int runs = (r->used + run_size / 2) / run_size, done = 0;
	if (runs < 1) runs = 1;
	if (runs > r->frames) runs = r->frames;
	for (int k = 1; k <= runs; k++) {
		int upto = (long long)r->frames * k / runs;
		size_t from = done ? r->ends[done - 1] : 0, to = r->ends[upto - 1];
		for (int i = r->count - 1; i >= 0; i--) {
			if (send_all(r->members[i], r->run + from, to - from) < 0)
				leave(r->members[i]);
			else
				deliveries += upto - done;
		}
		done = upto;
	}
	r->used = 0;
	r->frames = 0;
	r->dirty = 0;
}

/* Appends the frame that delivers a post, without the post's last brace. */
static void publish(struct room *r, const unsigned char *post, size_t size)
{
	size_t body = size - 1 + pad_size, need = r->used + body + 10;
	if (need > r->space) r->run = grow(r->run, r->space = need * 2);
	if (r->frames == r->frames_for) {
		r->frames_for = r->frames_for * 2 + 16;
		r->ends = grow(r->ends, r->frames_for * sizeof *r->ends);
	}
	unsigned char *p = r->run + r->used;
	*p++ = 0x81;
	if (body < 126) {
		*p++ = body;
	} else {
		*p++ = 126;
		*p++ = body >> 8;
		*p++ = body & 255;
	}
	memcpy(p, post, size - 1);
	memcpy(p + size - 1, pad, pad_size);
	r->used = p + body - r->run;
	r->ends[r->frames++] = r->used;
	if (!cpu_before) cpu_before = cpu_seconds();
	if (!r->dirty) {
		r->dirty = 1;
		r->next_dirty = dirty;
		dirty = r;
	}
}

/* Takes the masked text frames (RFC 6455, section 5.2) that data begins with. */
static size_t take_frames(struct conn *c, unsigned char *data, size_t size)
{
	size_t at = 0;
	while (size - at >= 6) {
		unsigned char *p = data + at;
		size_t n = p[1] & 127, head = 6;
		if (n == 126) {
			if (size - at < 8) break;
			n = p[2] << 8 | p[3];
			head = 8;
		}
		if (size - at < head + n) break;
		unsigned char *mask = p + head - 4, *body = p + head;
		for (size_t i = 0; i < n; i++) body[i] ^= mask[i & 3];
		if ((p[0] & 15) == 1 && n > 0) publish(c->room, body, n);
		at += head + n;
	}
	return at;
}

/* The generator's key is always the one of RFC 6455, section 1.3. */
static const char answer[] =
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x0a{\"joined\"}";

static size_t take_handshake(int fd, unsigned char *data, size_t size)
{
	unsigned char *end = memmem(data, size, "\r\n\r\n", 4), *path = data + 5;
	if (!end) return 0;
	unsigned char *path_end = memchr(path, ' ', end - path);
	struct room *r = find_room((char *)path, path_end ? path_end - path : 0);
	if (r->count == r->room_for) {
		r->room_for = r->room_for * 2 + 16;
		r->members = grow(r->members, r->room_for * sizeof *r->members);
	}
	r->members[r->count++] = fd;
	conns[fd].room = r;
	if (send_all(fd, (const unsigned char *)answer, sizeof answer - 1) < 0) return 0;
	return end + 4 - data;
}

static void readable(int fd)
{
	struct conn *c = &conns[fd];
	if (c->rest_used) memcpy(buffer, c->rest, c->rest_used);
	ssize_t n = recv(fd, buffer + c->rest_used, MAX_READ, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (n <= 0) {
		leave(fd);
		return;
	}
	size_t size = c->rest_used + n, at = 0;
	if (!c->room) at = take_handshake(fd, buffer, size);
	if (c->room) at += take_frames(c, buffer + at, size - at);
	c->rest_used = size - at;
	if (c->rest_used > MAX_READ) {
		leave(fd);
		return;
	}
	if (c->rest_used) {
		c->rest = grow(c->rest, c->rest_used);
		memcpy(c->rest, buffer + at, c->rest_used);
	} else {
		free(c->rest);
		c->rest = NULL;
	}
}

static void accept_all(int listener)
{
	int fd, one = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (fd >= MAX_FD || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) close(fd);
	}
}

static int listen_on(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0) die("listen");
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) die("epoll");
	return fd;
}

int main(int argc, char **argv)
{
	if (argc != 4 || atoi(argv[2]) < 0 || atoi(argv[2]) > MAX_PAD) {
		fprintf(stderr, "usage: limit PORT PAD(0..%d) RUN\n", MAX_PAD);
		return 2;
	}
	pad_size = sprintf(pad, ",\"pad\":\"%.*s\"}", 0, "");
	int filling = atoi(argv[2]) - (int)pad_size;
	if (filling > 0) {
		memset(pad + 8, 'x', filling);
		memcpy(pad + 8 + filling, "\"}", 2);
		pad_size += filling;
	}
	run_size = atoi(argv[3]) > 0 ? atoi(argv[3]) : 1;
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	int listener = listen_on(atoi(argv[1]));
	struct epoll_event events[BATCH];
	while (!ending) {
		int n = epoll_wait(epoll_fd, events, BATCH, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener);
			else
				readable(events[i].data.fd);
		}
		while (dirty) {
			struct room *r = dirty;
			dirty = r->next_dirty;
			fan_out(r);
		}
	}
	double spent = cpu_before ? cpu_seconds() - cpu_before : 0;
	printf("deliveries %llu writes %llu bytes_per_write %.0f cpu_us_per_delivery %.3f\n", deliveries, writes,
	       writes ? (double)bytes / writes : 0, deliveries ? spent * 1e6 / deliveries : 0);
	return 0;
}
