/* fill.c - fills the queue of an instance that is down with waiting messages, for measuring
 *
 * Made by the store's own code, each as it would be after its first attempt was deferred. It is
 * linked without the flushes (Makefile): what matters here is what a million messages cost, not
 * that these outlive a power cut. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/instance.h"
#include "common/table.h"
#include "common/units.h"
#include "common/verdict.h"
#include "queue/destination.h"
#include "queue/envelope.h"
#include "queue/history.h"
#include "queue/store.h"

#define GROUP 256

int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_sync_file_range(int fd, off_t from, off_t len, unsigned int flags);

int __wrap_fdatasync(int fd)
{
  (void)fd;
  return 0;
}

int __wrap_fsync(int fd)
{
  (void)fd;
  return 0;
}

int __wrap_sync_file_range(int fd, off_t from, off_t len, unsigned int flags)
{
  (void)fd, (void)from, (void)len, (void)flags;
  return 0;
}

struct filling {
  int queue_fd;
  struct table *tables;
  uint64_t first, last; /* when they are due, seconds from now */
  int is_new;
  size_t domains;
  char *const *domain;
};

static const char content[] = "From: A Sender <sender@client.example>\r\n"
                              "To: somebody\r\n"
                              "Subject: one of many\r\n"
                              "Message-ID: <%s@client.example>\r\n\r\n"
                              "It waits.\r\n";

static _Noreturn void die(const char *what)
{
  fprintf(stderr, "fill: %s: %s\n", what, strerror(errno));
  exit(EXIT_IOERR);
}

/* the envelope block and the message; head line and all */
static void compose(stralloc *text, const char *id, const char *rcpt, struct envelope_sum *sum)
{
  const struct envelope_new n = {.id = id, .sender = "sender@client.example", .envid = "", .ret = "",
                                 .client = "127.0.0.1:40000", .helo = "client.example",
                                 .protocol = "ESMTP", .created = (uint64_t)time(NULL),
                                 .flags = ENVELOPE_RELAYED};
  char body[512];
  int len = snprintf(body, sizeof body, content, id);

  if (envelope_begin(text, &n) != 0 || envelope_add_rcpt(text, rcpt, "", "") != 0 ||
      envelope_finish(text) != 0)
    die("envelope");
  *sum = (struct envelope_sum){.env_len = text->len, .body_len = (uint64_t)len, .longest = 52};
  if (!stralloc_catb(text, body, (size_t)len))
    die("envelope");
}

static void sign(stralloc *text, struct envelope_sum *sum)
{
  XXH3_state_t *x = XXH3_createState();

  envelope_head(text->s, sum);
  XXH3_64bits_reset(x);
  XXH3_64bits_update(x, text->s + ENVELOPE_HEAD, text->len - ENVELOPE_HEAD);
  XXH3_64bits_update(x, text->s, ENVELOPE_HEAD_SUMMED);
  sum->checksum = XXH3_64bits_digest(x);
  XXH3_freeState(x);
  envelope_head(text->s, sum);
}

/* what a first attempt leaves behind: a mark and an outcome */
static void defer(int fd, uint64_t until)
{
  static const char *const outcome[5] = {"0", "temp", "4.4.1", "mx.example", "refused at connect"};
  struct envelope e;
  stralloc line = {0};
  const char *why;

  if (envelope_read(fd, &e, &why) != 0)
    die(why);
  e.rcpt[0].attempts = 1;
  e.rcpt[0].next = until;
  if (envelope_mark(fd, &e, 0) != 0 ||
      history_line_make(&line, 'o', (uint64_t)time(NULL), 1, outcome, 5) != 0 ||
      history_append(fd, &e, &line) != 0)
    die("history");
  free(line.s);
  envelope_free(&e);
}

static uint32_t hop_of(const struct filling *f, const char *rcpt)
{
  static stralloc text;
  struct nexthop hop;

  if (destination_of(f->tables, rcpt, &hop, &text, NULL) != 0)
    die("next hop");
  return store_hop_hash(text.s, text.len);
}

/* message number k, in queue/tmp, not yet committed */
static void make(const struct filling *f, uint64_t k, struct store_name *n, struct store_commit *c)
{
  static stralloc text;
  struct envelope_sum sum;
  char rcpt[300];

  memset(n, 0, sizeof *n);
  store_fresh_id(n->id);
  snprintf(rcpt, sizeof rcpt, "user%llu@%s", (unsigned long long)k, f->domain[k % f->domains]);
  n->next = (uint32_t)(time(NULL) + (time_t)(f->first + k % (f->last - f->first + 1)));
  n->hop = hop_of(f, rcpt);
  compose(&text, n->id, rcpt, &sum);
  sign(&text, &sum);
  if (!stralloc_cats(&text, ENVELOPE_END))
    die("message");
  *c = (struct store_commit){.id = n->id, .fd = store_create(f->queue_fd, n->id)};
  if (c->fd < 0 || write(c->fd, text.s, text.len) != (ssize_t)text.len)
    die("queue/tmp");
  if (!f->is_new)
    defer(c->fd, n->next);
}

static void make_group(const struct filling *f, uint64_t from, size_t count)
{
  struct store_name n[GROUP];
  struct store_commit c[GROUP];

  for (size_t i = 0; i < count; i++)
    make(f, from + i, &n[i], &c[i]);
  store_commit(f->queue_fd, c, count);
  for (size_t i = 0; i < count; i++) {
    uint32_t next = n[i].next, hop = n[i].hop;
    errno = c[i].error;
    if (c[i].error || close(c[i].fd) != 0)
      die("commit");
    if (!f->is_new && store_move(f->queue_fd, &n[i], STORE_CUR, next, hop) != 0)
      die("queue/cur");
  }
}

static _Noreturn void usage(void)
{
  fputs("usage: fill DIR COUNT WAIT DOMAIN...\n\n"
        "WAIT: seconds until they are due, as 3600 or 3600-7200, or `new`: not yet tried\n", stderr);
  exit(EXIT_USAGE);
}

int main(int argc, char **argv)
{
  struct filling f = {.queue_fd = -1, .domains = (size_t)argc - 4, .domain = argv + 4};
  struct instance i;
  uint64_t count;
  char *end;

  if (argc < 5 || units_number(argv[2], strlen(argv[2]), &count) != 0)
    usage();
  f.is_new = strcmp(argv[3], "new") == 0;
  f.first = f.is_new ? 0 : strtoull(argv[3], &end, 10);
  f.last = !f.is_new && *end == '-' ? strtoull(end + 1, NULL, 10) : f.first;
  if (f.last < f.first)
    usage();
  if (instance_find(&i, argv[1]) == 0)
    f.queue_fd = open(i.queue, O_RDONLY | O_DIRECTORY);
  if (f.queue_fd < 0 || store_make(f.queue_fd) != 0)
    die(argv[1]);
  f.tables = table_open(instance_open_tables(&i));
  for (uint64_t k = 0; k < count; k += GROUP)
    make_group(&f, k, count - k < GROUP ? (size_t)(count - k) : GROUP);
  syncfs(f.queue_fd);
  return 0;
}
