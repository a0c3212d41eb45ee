/* A Kinesis endpoint too cheap to matter: canned answers in memory, a thread for every connection, plain and TLS.
 *
 *     source FOLDER CERTIFICATE KEY
 *
 * prints the port of the plain listener and that of TLS, serves until its standard input ends, and takes any signature.
 * A stream is named BODY-SHARDS, such as `10000x100B-4`; FOLDER holds, made by bodies.py,
 *     BODY.json       an answer of GetRecords, with room for an iterator and for numbers of its records
 *     BODY.event      the same page as a frame of an event stream
 *     initial         the first frame of every subscription
 *     listing-SHARDS  an answer of ListShards
 *     shards          for every shard the last 36 digits of its sequence numbers
 * Sequence numbers have 56 digits: 6 that stay, 9 for the page, 5 for the record in it, 36 that tell the shard.
 * Those of page and shard are written into a connection's own copy of the body before it is sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { FILES_MAX = 64, SHARDS_MAX = 1024, NAME_MAX_ = 64, REQUEST_MAX = 1 << 16, PADDING = 180 };
enum { HEAD_DIGITS = 6, PAGE_DIGITS = 9, RECORD_DIGITS = 5, SHARD_DIGITS = 36 };

struct file {
    char name[NAME_MAX_];
    char *text;
    size_t size;
    size_t *numbers; /* where the digits of the sequence numbers begin */
    size_t numbers_count;
    size_t iterator; /* where that of the next page begins, 0 if nowhere */
};

struct copy { char *text; int shard; };

struct connection {
    int socket;
    SSL *tls;
    struct copy copies[FILES_MAX];
};

static struct file files[FILES_MAX];
static int files_count;
static char shard_digits[SHARDS_MAX][SHARD_DIGITS];
static SSL_CTX *tls_context;
static uint32_t crc_tables[8][256];

static void die(const char *what) { perror(what); exit(1); }

static void *allocated(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) die("malloc");
    return memory;
}

/* -- what is read at the start ------------------------------------------------------------------------------------ */

static void index_file(struct file *file) {
    static const char number[] = "equenceNumber\":\"", iterator[] = "\"NextShardIterator\":\"";
    char *end = file->text + file->size;
    size_t room = 16;
    file->numbers = allocated(room * sizeof *file->numbers);
    for (char *at = file->text; (at = memmem(at, (size_t)(end - at), number, sizeof number - 1)) != NULL;) {
        at += sizeof number - 1;
        if (file->numbers_count == room)
            if ((file->numbers = realloc(file->numbers, (room *= 2) * sizeof *file->numbers)) == NULL) die("realloc");
        file->numbers[file->numbers_count++] = (size_t)(at - file->text);
    }
    char *found = memmem(file->text, file->size, iterator, sizeof iterator - 1);
    file->iterator = found == NULL ? 0 : (size_t)(found - file->text) + sizeof iterator - 1;
}

static void load(const char *folder) {
    DIR *listing = opendir(folder);
    if (listing == NULL) die(folder);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        if (files_count == FILES_MAX || strlen(entry->d_name) >= NAME_MAX_) { fputs("too many files\n", stderr); exit(1); }
        struct file *file = &files[files_count++];
        strcpy(file->name, entry->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *opened = fopen(path, "rb");
        if (opened == NULL || fseek(opened, 0, SEEK_END) != 0) die(path);
        file->size = (size_t)ftell(opened);
        rewind(opened);
        file->text = allocated(file->size + 1);
        if (fread(file->text, 1, file->size, opened) != file->size) die(path);
        file->text[file->size] = 0;
        fclose(opened);
        if (strcmp(file->name, "shards") == 0)
            for (size_t i = 0; i < SHARDS_MAX && (i + 1) * (SHARD_DIGITS + 1) <= file->size; i++)
                memcpy(shard_digits[i], file->text + i * (SHARD_DIGITS + 1), SHARD_DIGITS);
        else if (strncmp(file->name, "listing", 7) != 0)
            index_file(file);
    }
    closedir(listing);
}

static int file_number(const char *name, const char *suffix) {
    char whole[640];
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    for (int i = 0; i < files_count; i++)
        if (strcmp(files[i].name, whole) == 0) return i;
    return -1;
}

static void make_crc_tables(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1)));
        crc_tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            crc_tables[t][i] = (crc_tables[t - 1][i] >> 8) ^ crc_tables[0][crc_tables[t - 1][i] & 255];
}

/* Eight bytes at a time; little-endian, as everything this runs on is. */
static uint32_t crc32_of(const unsigned char *at, size_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t one, two;
        memcpy(&one, at, 4);
        memcpy(&two, at + 4, 4);
        one ^= crc;
        crc = crc_tables[7][one & 255] ^ crc_tables[6][(one >> 8) & 255] ^ crc_tables[5][(one >> 16) & 255] ^
              crc_tables[4][one >> 24] ^ crc_tables[3][two & 255] ^ crc_tables[2][(two >> 8) & 255] ^
              crc_tables[1][(two >> 16) & 255] ^ crc_tables[0][two >> 24];
    }
    while (size-- > 0) crc = (crc >> 8) ^ crc_tables[0][(crc ^ *at++) & 255];
    return ~crc;
}

/* -- sending -------------------------------------------------------------------------------------------------------- */

static int sent(struct connection *to, const char *text, size_t size) {
    while (size > 0) {
        int piece = size > (1 << 20) ? 1 << 20 : (int)size;
        ssize_t done = to->tls != NULL ? SSL_write(to->tls, text, piece) : send(to->socket, text, (size_t)piece, MSG_NOSIGNAL);
        if (done <= 0) {
            if (to->tls == NULL && errno == EINTR) continue;
            return 0;
        }
        text += done;
        size -= (size_t)done;
    }
    return 1;
}

static int head_sent(struct connection *to, const char *status, const char *type, const char *length) {
    char head[512], date[64];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %s\r\nx-amzn-RequestId: c0ffee00-0000-0000-0000-000000000000\r\nDate: %s\r\n"
                        "Content-Type: %s\r\n%s\r\n\r\n", status, date, type, length);
    return sent(to, head, (size_t)size);
}

static int answered(struct connection *to, const char *status, const char *text, size_t size) {
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %zu", size);
    return head_sent(to, status, "application/x-amz-json-1.1", length) && sent(to, text, size);
}

static int refused(struct connection *to) {
    static const char text[] = "{\"__type\":\"InvalidArgumentException\",\"message\":\"the load source has no such answer\"}";
    return answered(to, "400 Bad Request", text, sizeof text - 1);
}

/* -- pages ---------------------------------------------------------------------------------------------------------- */

static void iterator_written(char *into, const char *body, int shard, unsigned page) {
    char text[NAME_MAX_ + PADDING + 32];
    int size = snprintf(text, sizeof text, "%s.%04d.%09u.", body, shard, page);
    memset(text + size, 'A', PADDING);
    memcpy(into, text, (size_t)size + PADDING);
    into[size + PADDING] = 0;
}

/* The connection's own copy of a body, with the numbers of this page of this shard. */
static char *page_of(struct connection *on, int number, int shard, unsigned page) {
    struct file *file = &files[number];
    struct copy *copy = &on->copies[number];
    if (copy->text == NULL) {
        copy->text = allocated(file->size + 1);
        memcpy(copy->text, file->text, file->size + 1);
        copy->shard = -1;
    }
    char digits[16];
    snprintf(digits, sizeof digits, "%09u", page % 1000000000u);
    for (size_t i = 0; i < file->numbers_count; i++) {
        char *at = copy->text + file->numbers[i] + HEAD_DIGITS;
        memcpy(at, digits, PAGE_DIGITS);
        if (copy->shard != shard) memcpy(at + PAGE_DIGITS + RECORD_DIGITS, shard_digits[shard], SHARD_DIGITS);
    }
    copy->shard = shard;
    return copy->text;
}

static int value_in(const char *request, const char *member, char *into, size_t room) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", member);
    const char *at = strstr(request, quoted);
    if (at == NULL || (at = strchr(at + strlen(quoted), ':')) == NULL || (at = strchr(at, '"')) == NULL) return 0;
    size_t size = strcspn(++at, "\"");
    if (size >= room) return 0;
    memcpy(into, at, size);
    into[size] = 0;
    return 1;
}

/* A stream's name from the request's own member or the end of an ARN: its body, and the number of its shards. */
static int stream_in(const char *request, char *body, char *name, int *shards) {
    char whole[512];
    if (!value_in(request, "StreamName", whole, sizeof whole) && !value_in(request, "StreamARN", whole, sizeof whole) &&
        !value_in(request, "ConsumerARN", whole, sizeof whole)) return 0;
    char *at = strstr(whole, ":stream/");
    at = at == NULL ? whole : at + 8;
    at[strcspn(at, "/")] = 0;
    char *dash = strrchr(at, '-');
    if (dash == NULL || strlen(at) >= NAME_MAX_) return 0;
    strcpy(name, at);
    *shards = atoi(dash + 1);
    *dash = 0;
    strcpy(body, at);
    return 1;
}

static int shard_in(const char *request) {
    char shard[64];
    if (!value_in(request, "ShardId", shard, sizeof shard) || strlen(shard) < 8) return -1;
    int number = atoi(shard + 8);
    return number >= 0 && number < SHARDS_MAX ? number : -1;
}

/* -- the operations ------------------------------------------------------------------------------------------------- */

static int get_records(struct connection *on, const char *request) {
    char iterator[512];
    if (!value_in(request, "ShardIterator", iterator, sizeof iterator)) return refused(on);
    char *shard = strchr(iterator, '.'), *page = shard == NULL ? NULL : strchr(shard + 1, '.');
    if (page == NULL) return refused(on);
    *shard++ = *page++ = 0;
    int number = file_number(iterator, ".json"), index = atoi(shard);
    if (number < 0 || index < 0 || index >= SHARDS_MAX) return refused(on);
    unsigned at = (unsigned)strtoul(page, NULL, 10);
    char *text = page_of(on, number, index, at);
    if (files[number].iterator != 0) {
        char *next = text + files[number].iterator, after = next[strlen(iterator) + 16 + PADDING];
        iterator_written(next, iterator, index, at + 1);
        next[strlen(iterator) + 16 + PADDING] = after;
    }
    return answered(on, "200 OK", text, files[number].size);
}

static int get_shard_iterator(struct connection *on, const char *request) {
    char body[512], name[NAME_MAX_], text[512], answer[640];
    int shards, shard = shard_in(request);
    if (shard < 0 || !stream_in(request, body, name, &shards)) return refused(on);
    iterator_written(text, body, shard, 0);
    int size = snprintf(answer, sizeof answer, "{\"ShardIterator\":\"%s\"}", text);
    return answered(on, "200 OK", answer, (size_t)size);
}

static int list_shards(struct connection *on, const char *request) {
    char body[512], name[NAME_MAX_], listing[32];
    int shards;
    if (!stream_in(request, body, name, &shards)) return refused(on);
    snprintf(listing, sizeof listing, "listing-%d", shards);
    int number = file_number(listing, "");
    return number < 0 ? refused(on) : answered(on, "200 OK", files[number].text, files[number].size);
}

static int describe(struct connection *on, const char *request) {
    char body[512], name[NAME_MAX_], answer[1024];
    int shards;
    if (!stream_in(request, body, name, &shards)) return refused(on);
    int size = snprintf(answer, sizeof answer,
        "{\"StreamDescriptionSummary\":{\"ConsumerCount\":1,\"EncryptionType\":\"NONE\",\"EnhancedMonitoring\":[{\"ShardLevelMetrics\":[]}],"
        "\"OpenShardCount\":%d,\"RetentionPeriodHours\":24,\"StreamARN\":\"arn:aws:kinesis:us-east-1:000000000000:stream/%s\","
        "\"StreamCreationTimestamp\":1767225600.0,\"StreamModeDetails\":{\"StreamMode\":\"PROVISIONED\"},\"StreamName\":\"%s\","
        "\"StreamStatus\":\"ACTIVE\"}}", shards, name, name);
    return answered(on, "200 OK", answer, (size_t)size);
}

static int consumer(struct connection *on, const char *request, const char *format) {
    char body[512], name[NAME_MAX_], consumer_name[160] = "bench", one[1024], answer[1200];
    int shards;
    if (!stream_in(request, body, name, &shards)) return refused(on);
    value_in(request, "ConsumerName", consumer_name, sizeof consumer_name);
    snprintf(one, sizeof one,
        "{\"ConsumerName\":\"%s\",\"ConsumerARN\":\"arn:aws:kinesis:us-east-1:000000000000:stream/%s/consumer/%s:1767225600\","
        "\"ConsumerStatus\":\"ACTIVE\",\"ConsumerCreationTimestamp\":1767225600.0,"
        "\"StreamARN\":\"arn:aws:kinesis:us-east-1:000000000000:stream/%s\"}", consumer_name, name, consumer_name, name);
    int size = snprintf(answer, sizeof answer, format, one);
    return answered(on, "200 OK", answer, (size_t)size);
}

static int chunk_sent(struct connection *to, const char *text, size_t size) {
    char head[32];
    int length = snprintf(head, sizeof head, "%zx\r\n", size);
    return sent(to, head, (size_t)length) && sent(to, text, size) && sent(to, "\r\n", 2);
}

/* Frames as fast as they are taken, until the other side has enough. */
static int subscribe(struct connection *on, const char *request) {
    char body[512], name[NAME_MAX_];
    int shards, shard = shard_in(request), initial = file_number("initial", "");
    if (shard < 0 || initial < 0 || !stream_in(request, body, name, &shards)) return refused(on);
    int number = file_number(body, ".event");
    if (number < 0) return refused(on);
    size_t size = files[number].size;
    int is_open = head_sent(on, "200 OK", "application/vnd.amazon.eventstream", "Transfer-Encoding: chunked") &&
                  chunk_sent(on, files[initial].text, files[initial].size);
    for (unsigned page = 0; is_open; page++) {
        char *frame = page_of(on, number, shard, page);
        uint32_t crc = htonl(crc32_of((unsigned char *)frame, size - 4));
        memcpy(frame + size - 4, &crc, 4);
        is_open = chunk_sent(on, frame, size);
    }
    return 0;
}

static int operation(struct connection *on, const char *target, const char *request) {
    if (strcmp(target, "GetRecords") == 0) return get_records(on, request);
    if (strcmp(target, "SubscribeToShard") == 0) return subscribe(on, request);
    if (strcmp(target, "GetShardIterator") == 0) return get_shard_iterator(on, request);
    if (strcmp(target, "ListShards") == 0) return list_shards(on, request);
    if (strcmp(target, "DescribeStreamSummary") == 0) return describe(on, request);
    if (strcmp(target, "DescribeStreamConsumer") == 0) return consumer(on, request, "{\"ConsumerDescription\":%s}");
    if (strcmp(target, "RegisterStreamConsumer") == 0) return consumer(on, request, "{\"Consumer\":%s}");
    if (strcmp(target, "ListStreamConsumers") == 0) return consumer(on, request, "{\"Consumers\":[%s]}");
    if (strcmp(target, "DeregisterStreamConsumer") == 0) return answered(on, "200 OK", "", 0);
    return refused(on);
}

/* -- connections ---------------------------------------------------------------------------------------------------- */

static ssize_t received(struct connection *on, char *into, size_t room) {
    return on->tls != NULL ? SSL_read(on->tls, into, (int)room) : recv(on->socket, into, room, 0);
}

static void serve(struct connection *on) {
    static const char prefix[] = "Kinesis_20131202.";
    char *buffer = allocated(REQUEST_MAX + 1);
    size_t have = 0;
    for (;;) {
        char *end;
        buffer[have] = 0;
        while ((end = strstr(buffer, "\r\n\r\n")) == NULL) {
            ssize_t got = have < REQUEST_MAX ? received(on, buffer + have, REQUEST_MAX - have) : 0;
            if (got <= 0) goto over;
            buffer[have += (size_t)got] = 0;
        }
        char *length = strcasestr(buffer, "\r\ncontent-length:"), *target = strstr(buffer, prefix);
        size_t head = (size_t)(end + 4 - buffer), whole = head + (length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0);
        while (have < whole) {
            ssize_t got = whole <= REQUEST_MAX ? received(on, buffer + have, REQUEST_MAX - have) : 0;
            if (got <= 0) goto over;
            have += (size_t)got;
        }
        char after = buffer[whole], name[64] = "";
        buffer[whole] = 0;
        if (target != NULL && target < end) {
            target += sizeof prefix - 1;
            size_t size = strcspn(target, "\r\n ");
            if (size < sizeof name) { memcpy(name, target, size); name[size] = 0; }
        }
        if (!operation(on, name, buffer + head)) break;
        buffer[whole] = after;
        memmove(buffer, buffer + whole, have -= whole);
    }
over:
    free(buffer);
}

static void *connected(void *argument) {
    struct connection *on = argument;
    if (on->tls == NULL || SSL_accept(on->tls) == 1) serve(on);
    if (on->tls != NULL) SSL_free(on->tls);
    close(on->socket);
    ERR_clear_error();
    for (int i = 0; i < files_count; i++) free(on->copies[i].text);
    free(on);
    return NULL;
}

struct listener { int socket; int is_tls; };

static void *accepting(void *argument) {
    struct listener *listener = argument;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int socket = accept(listener->socket, NULL, NULL), yes = 1;
        if (socket < 0) continue;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct connection *on = calloc(1, sizeof *on);
        if (on == NULL) die("calloc");
        on->socket = socket;
        if (listener->is_tls) {
            on->tls = SSL_new(tls_context);
            SSL_set_fd(on->tls, socket);
        }
        pthread_t thread;
        if (pthread_create(&thread, &detached, connected, on) != 0) { close(socket); free(on); }
    }
    return NULL;
}

static int listening(struct listener *listener, int is_tls) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    pthread_t thread;
    listener->is_tls = is_tls;
    listener->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (listener->socket < 0 || bind(listener->socket, (struct sockaddr *)&address, size) != 0 ||
        listen(listener->socket, 1024) != 0 || getsockname(listener->socket, (struct sockaddr *)&address, &size) != 0 ||
        pthread_create(&thread, NULL, accepting, listener) != 0)
        die("listen");
    return ntohs(address.sin_port);
}

int main(int count, char **arguments) {
    static struct listener plain, tls;
    if (count != 4) { fputs("usage: source FOLDER CERTIFICATE KEY\n", stderr); return 2; }
    signal(SIGPIPE, SIG_IGN);
    make_crc_tables();
    load(arguments[1]);
    tls_context = SSL_CTX_new(TLS_server_method());
    if (tls_context == NULL || SSL_CTX_use_certificate_chain_file(tls_context, arguments[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, arguments[3], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    int plain_port = listening(&plain, 0), tls_port = listening(&tls, 1);
    printf("%d %d\n", plain_port, tls_port);
    fflush(stdout);
    while (getchar() != EOF) continue;
    return 0;
}
