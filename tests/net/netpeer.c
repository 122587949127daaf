// One end of a conversation over the network: `netpeer serve PORT COUNT` answers COUNT connections (TCP: what it is sent comes
// back) and datagrams; `netpeer ask HOST PORT BYTES CONNECTIONS` sends a pattern over that many connections at once and checks
// what comes back; `netpeer udp HOST PORT DATAGRAMS SIZE` does so with datagrams; `netpeer refused HOST PORT` expects
// ECONNREFUSED; `netpeer ping HOST COUNT` asks for echoes.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 65536
#define MAX 1024

static void die(const char *what) {
    fprintf(stderr, "netpeer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static unsigned char pattern(uint64_t at, int salt) {
    return (unsigned char)((at * 2654435761u >> 7) + at / 251 + (unsigned)salt);
}

static struct addrinfo *find(const char *host, const char *port, int type) {
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = host ? 0 : AI_PASSIVE}, *found;
    if (!host) hints.ai_family = AF_INET6;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error) {
        fprintf(stderr, "netpeer: %s: %s\n", host ? host : "*", gai_strerror(error));
        exit(1);
    }
    return found;
}

static int listen_at(const char *port, int type) {
    struct addrinfo *at = find(NULL, port, type);
    int fd = socket(at->ai_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, at->ai_addr, at->ai_addrlen)) die("bind");
    if (type == SOCK_STREAM && listen(fd, 128)) die("listen");
    return fd;
}

// What is to go back, per connection.
struct echo { char data[ROOM]; size_t from, to; int done; };

static int serve(const char *port, int count) {
    static struct pollfd fds[MAX + 2];
    static struct echo *echo[MAX + 2];
    fds[0] = (struct pollfd){.fd = listen_at(port, SOCK_STREAM), .events = POLLIN};
    fds[1] = (struct pollfd){.fd = listen_at(port, SOCK_DGRAM), .events = POLLIN};
    int used = 2, finished = 0;
    printf("ready\n");
    fflush(stdout);
    while (finished < count) {
        if (poll(fds, used, -1) < 0) die("poll");
        if (fds[0].revents && used < MAX + 2) {
            int fd = accept4(fds[0].fd, NULL, NULL, SOCK_NONBLOCK);
            if (fd >= 0) {
                echo[used] = calloc(1, sizeof **echo);
                fds[used++] = (struct pollfd){.fd = fd, .events = POLLIN};
            } else if (errno != EAGAIN) die("accept");
        }
        if (fds[1].revents) {
            char data[ROOM];
            struct sockaddr_storage from;
            socklen_t len = sizeof from;
            ssize_t got = recvfrom(fds[1].fd, data, sizeof data, 0, (void *)&from, &len);
            if (got >= 0) sendto(fds[1].fd, data, got, 0, (void *)&from, len);
        }
        for (int i = 2; i < used; i++) {
            if (!fds[i].revents) continue;
            struct echo *e = echo[i];
            if (e->from == e->to && !e->done) {
                ssize_t got = read(fds[i].fd, e->data, ROOM);
                if (got < 0 && errno != EAGAIN) die("read");
                if (got == 0) e->done = 1;
                if (got > 0) e->from = 0, e->to = got;
            }
            if (e->from < e->to) {
                ssize_t put = write(fds[i].fd, e->data + e->from, e->to - e->from);
                if (put < 0 && errno != EAGAIN) die("write");
                if (put > 0) e->from += put;
            }
            fds[i].events = e->from < e->to ? POLLOUT : POLLIN;
            if (e->done && e->from == e->to) {
                close(fds[i].fd);
                free(e);
                fds[i] = fds[--used], echo[i] = echo[used], i--, finished++;
            }
        }
    }
    printf("served %d\n", finished);
    return 0;
}

static int ask(const char *host, const char *port, uint64_t bytes, int connections) {
    static struct pollfd fds[MAX];
    static struct { uint64_t sent, got; int open; } at[MAX];
    static unsigned char data[ROOM];
    struct addrinfo *to = find(host, port, SOCK_STREAM);
    for (int i = 0; i < connections; i++) {
        int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd < 0) die("socket");
        if (connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno != EINPROGRESS) die("connect: not in progress");
        fds[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
    }
    int left = connections;
    while (left) {
        if (poll(fds, connections, 60000) <= 0) die("poll: nothing for a minute");
        for (int i = 0; i < connections; i++) {
            if (fds[i].fd < 0 || !fds[i].revents) continue;
            if (!at[i].open) {
                int error = 0;
                socklen_t len = sizeof error;
                getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
                if ((errno = error)) die("connect");
                at[i].open = 1;
            }
            if (fds[i].revents & POLLOUT && at[i].sent < bytes) {
                size_t step = bytes - at[i].sent < ROOM ? bytes - at[i].sent : ROOM;
                for (size_t n = 0; n < step; n++) data[n] = pattern(at[i].sent + n, i);
                ssize_t put = write(fds[i].fd, data, step);
                if (put < 0 && errno != EAGAIN) die("write");
                if (put > 0) at[i].sent += put;
                if (at[i].sent == bytes) shutdown(fds[i].fd, SHUT_WR);
            }
            if (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) {
                ssize_t got = read(fds[i].fd, data, ROOM);
                if (got < 0 && errno != EAGAIN) die("read");
                for (ssize_t n = 0; n < got; n++) {
                    if (data[n] != pattern(at[i].got + n, i)) {
                        fprintf(stderr, "netpeer: connection %d: wrong byte at %llu\n", i, (unsigned long long)at[i].got + n);
                        return 1;
                    }
                }
                if (got > 0) at[i].got += got;
                if (got == 0) {
                    if (at[i].got != bytes) die("end of data too early");
                    close(fds[i].fd);
                    fds[i].fd = -1, left--;
                    continue;
                }
            }
            fds[i].events = POLLIN | (at[i].sent < bytes ? POLLOUT : 0);
        }
    }
    printf("%d connections, %llu bytes each way\n", connections, (unsigned long long)bytes);
    return 0;
}

static int ask_udp(const char *host, const char *port, int datagrams, size_t size) {
    static unsigned char data[ROOM], back[ROOM];
    struct addrinfo *to = find(host, port, SOCK_DGRAM);
    int fd = socket(to->ai_family, SOCK_DGRAM, 0);
    if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen)) die("connect");
    struct timeval patience = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (int i = 0; i < datagrams; i++) {
        for (size_t n = 0; n < size; n++) data[n] = pattern(n, i);
        if (send(fd, data, size, 0) != (ssize_t)size) die("send");
        if (recv(fd, back, ROOM, 0) != (ssize_t)size) die("recv");
        if (memcmp(data, back, size)) { errno = EIO; die("another datagram"); }
    }
    printf("%d datagrams of %zu bytes\n", datagrams, size);
    return 0;
}

static int refused(const char *host, const char *port) {
    struct addrinfo *to = find(host, port, SOCK_STREAM);
    int fd = socket(to->ai_family, SOCK_STREAM, 0);
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno != ECONNREFUSED) die("TCP");
    int udp = socket(to->ai_family, SOCK_DGRAM, 0);
    char byte = 0;
    if (connect(udp, to->ai_addr, to->ai_addrlen) || send(udp, "x", 1, 0) != 1) die("send");
    if (recv(udp, &byte, 1, 0) >= 0 || errno != ECONNREFUSED) die("UDP");
    printf("refused\n");
    return 0;
}

static int ping(const char *host, int count) {
    struct addrinfo *to = find(host, NULL, SOCK_RAW);
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    struct timeval patience = {.tv_sec = 20};
    if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen)) die("ping");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (int i = 0; i < count; i++) {
        struct { struct icmphdr icmp; char data[56]; } echo = {.icmp = {.type = ICMP_ECHO, .un.echo = {htons(77), htons(i)}}}, back;
        uint32_t sum = 0;
        for (size_t n = 0; n < sizeof echo / 2; n++) sum += ((uint16_t *)&echo)[n];
        while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
        echo.icmp.checksum = ~sum;
        if (send(fd, &echo, sizeof echo, 0) != sizeof echo) die("send");
        do {
            unsigned char packet[1500];
            ssize_t got = recv(fd, packet, sizeof packet, 0);
            if (got < 20 + (ssize_t)sizeof back) die("recv");
            memcpy(&back, packet + (packet[0] & 15) * 4, sizeof back);
        } while (back.icmp.type != ICMP_ECHOREPLY || back.icmp.un.echo.sequence != htons(i));
    }
    printf("%d echoes\n", count);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "serve")) return serve(argv[2], atoi(argv[3]));
    if (argc == 6 && !strcmp(argv[1], "ask") && atoi(argv[5]) <= MAX)
        return ask(argv[2], argv[3], strtoull(argv[4], NULL, 0), atoi(argv[5]));
    if (argc == 6 && !strcmp(argv[1], "udp")) return ask_udp(argv[2], argv[3], atoi(argv[4]), strtoul(argv[5], NULL, 0));
    if (argc == 4 && !strcmp(argv[1], "refused")) return refused(argv[2], argv[3]);
    if (argc == 4 && !strcmp(argv[1], "ping")) return ping(argv[2], atoi(argv[3]));
    fprintf(stderr, "usage: netpeer serve PORT COUNT | ask HOST PORT BYTES CONNECTIONS | udp HOST PORT COUNT SIZE | refused HOST PORT | ping HOST COUNT\n");
    return 2;
}
