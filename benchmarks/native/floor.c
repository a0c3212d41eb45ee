/* The floor: what an answer costs at least. Receives pages, finds each record's payload and decodes its base64.
 *
 *     floor PORT tls|plain STREAM SECONDS
 *
 * prints CPU seconds (of the whole process), records, calls and payload bytes of about so many seconds, after a tenth
 * of that to warm up. One connection, one thread; the shard is the first one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 25 };

static SSL *tls;
static int connection;
static char *answer;
static unsigned char *payload;
static signed char values[256];
static size_t records, calls, bytes;

static void die(const char *what) { perror(what); exit(1); }

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static ssize_t received(char *into, size_t room) {
    return tls != NULL ? SSL_read(tls, into, (int)room) : recv(connection, into, room, 0);
}

/* Sends a request; the answer's body, with a zero behind it. */
static char *asked(const char *target, const char *request, size_t *size) {
    char text[2048];
    int length = snprintf(text, sizeof text,
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: Kinesis_20131202.%s\r\n"
        "Content-Type: application/x-amz-json-1.1\r\nContent-Length: %zu\r\n\r\n%s", target, strlen(request), request);
    if ((tls != NULL ? SSL_write(tls, text, length) : write(connection, text, (size_t)length)) != length) die("send");
    size_t have = 0, whole = 0;
    char *body = NULL;
    while (body == NULL || have < whole) {
        ssize_t got = received(answer + have, ROOM - have - 1);
        if (got <= 0) die("receive");
        answer[have += (size_t)got] = 0;
        if (body == NULL && (body = strstr(answer, "\r\n\r\n")) != NULL) {
            char *stated = strcasestr(answer, "content-length:");
            body += 4;
            *size = stated == NULL ? 0 : strtoul(stated + 15, NULL, 10);
            whole = (size_t)(body - answer) + *size;
            if (whole >= ROOM) die("an answer too large");
        }
    }
    return body;
}

static size_t decoded(const char *text, size_t size) {
    unsigned char *to = payload;
    for (; size >= 4; text += 4, size -= 4) {
        uint32_t group = (uint32_t)(values[(unsigned char)text[0]] << 18 | values[(unsigned char)text[1]] << 12 |
                                    values[(unsigned char)text[2]] << 6 | values[(unsigned char)text[3]]);
        *to++ = (unsigned char)(group >> 16);
        *to++ = (unsigned char)(group >> 8);
        *to++ = (unsigned char)group;
    }
    return (size_t)(to - payload);
}

static void scan(const char *body, size_t size) {
    static const char data[] = "\"Data\":\"";
    const char *end = body + size;
    for (const char *at = body; (at = memmem(at, (size_t)(end - at), data, sizeof data - 1)) != NULL;) {
        const char *begin = at + sizeof data - 1;
        at = memchr(begin, '"', (size_t)(end - begin));
        if (at == NULL) die("a record that does not end");
        size_t got = decoded(begin, (size_t)(at - begin));
        if (at > begin && at[-1] == '=') got -= at[-2] == '=' ? 2 : 1;
        bytes += got;
        records++;
    }
    calls++;
}

static void read_for(char *iterator, double span) {
    char request[1024];
    for (double until = seconds(CLOCK_MONOTONIC) + span; seconds(CLOCK_MONOTONIC) < until;) {
        size_t size;
        snprintf(request, sizeof request, "{\"ShardIterator\":\"%s\",\"Limit\":10000}", iterator);
        char *body = asked("GetRecords", request, &size);
        scan(body, size);
        char *next = memmem(body, size, "\"NextShardIterator\":\"", 21);
        if (next == NULL) die("no next iterator");
        size_t length = strcspn(next + 21, "\"");
        memcpy(iterator, next + 21, length);
        iterator[length] = 0;
    }
}

static void connect_to(int port, int is_tls) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (!is_tls) return;
    tls = SSL_new(SSL_CTX_new(TLS_client_method()));
    SSL_set_fd(tls, connection);
    if (SSL_connect(tls) != 1) die("the TLS handshake");
}

int main(int count, char **arguments) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char request[512], iterator[512];
    size_t size;
    if (count != 5) { fputs("usage: floor PORT tls|plain STREAM SECONDS\n", stderr); return 2; }
    for (int i = 0; i < 64; i++) values[(unsigned char)alphabet[i]] = (signed char)i;
    answer = malloc(ROOM);
    payload = malloc(ROOM);
    if (answer == NULL || payload == NULL) die("malloc");
    connect_to(atoi(arguments[1]), strcmp(arguments[2], "tls") == 0);
    snprintf(request, sizeof request,
             "{\"StreamName\":\"%s\",\"ShardId\":\"shardId-000000000000\",\"ShardIteratorType\":\"TRIM_HORIZON\"}", arguments[3]);
    char *begin = strstr(asked("GetShardIterator", request, &size), ":\"");
    if (begin == NULL) die("no iterator");
    size_t length = strcspn(begin + 2, "\"");
    memcpy(iterator, begin + 2, length);
    iterator[length] = 0;
    double span = atof(arguments[4]);
    read_for(iterator, span / 10);
    records = calls = bytes = 0;
    double began = seconds(CLOCK_PROCESS_CPUTIME_ID);
    read_for(iterator, span);
    printf("{\"cpu_seconds\": %.6f, \"records\": %zu, \"calls\": %zu, \"payload_bytes\": %zu}\n",
           seconds(CLOCK_PROCESS_CPUTIME_ID) - began, records, calls, bytes);
    return 0;
}
