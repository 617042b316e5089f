/* lookup.c - DNS look-ups through libunbound, in the event loop
 *
 * Runs in heloise-resolve: user hlresolve, no files but the resolver's own. libunbound
 * works in a thread of its own and hands results over through a pipe; everything here
 * runs in the loop's thread. Answers are hostile bytes and are passed on unread. */
#include "resolve/lookup.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <unbound.h>

#include "common/loop.h"

#define CLASS_IN 1
#define TYPE_DNSKEY 48
#define RCODE_NXDOMAIN 3
#define SERVER_MAX 64 /* bytes of one ADDR@PORT */

struct lookup {
  struct loop_handler handler; /* first */
  struct loop_timer closing;
  struct ub_ctx *ctx;
  int fd; /* a duplicate of libunbound's, so that the loop may close it */
  unsigned int under_way;
  int is_retired;
};

/* what is asked of libunbound besides servers and anchor */
static const char *const options[][2] = {
  /* servers on loopback are as good as any */
  {"do-not-query-localhost:", "no"},
  /* no names are answered here that the servers given know better */
  {"unblock-lan-zones:", "yes"},
  {"insecure-lan-zones:", "yes"},
  /* a server that was down is found again within a minute */
  {"infra-host-ttl:", "60"},
  {"infra-keep-probing:", "yes"},
  {"outgoing-range:", "256"},
  {"num-queries-per-thread:", "1024"},
  {"msg-cache-size:", "8m"},
  {"rrset-cache-size:", "16m"},
};

/* zones that libunbound answers by itself even so (RFC 6761) */
static const char *const built_in[] = {
  "localhost.", "test.", "invalid.", "onion.", "home.arpa.", "127.in-addr.arpa.",
  "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa."};

/* in place: libunbound wants "[ADDR]@PORT" without the brackets */
static void drop_brackets(char *server)
{
  char *close = server[0] == '[' ? strchr(server, ']') : NULL;

  if (!close)
    return;
  memmove(close, close + 1, strlen(close + 1) + 1);
  memmove(server, server + 1, strlen(server + 1) + 1);
}

static int add_servers(struct ub_ctx *ctx, const char *list)
{
  char server[SERVER_MAX];

  while (*(list += strspn(list, " \t,"))) {
    size_t n = strcspn(list, " \t,");
    if (n >= sizeof server)
      return UB_SYNTAX;
    memcpy(server, list, n);
    server[n] = 0;
    drop_brackets(server);
    if (ub_ctx_set_fwd(ctx, server) != 0)
      return UB_SYNTAX;
    list += n;
  }
  return 0;
}

static int set_servers(struct ub_ctx *ctx, const char *list)
{
  if (list[strspn(list, " \t,")])
    return add_servers(ctx, list);
  /* as resolv.conf(5): without the file, the name server is on this host */
  return ub_ctx_resolvconf(ctx, "/etc/resolv.conf") == 0 ? 0 : ub_ctx_set_fwd(ctx, "127.0.0.1");
}

static int configure(struct ub_ctx *ctx, const struct lookup_config *c, const char **why)
{
  *why = "libunbound does not take an option";
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    if (ub_ctx_set_option(ctx, options[i][0], options[i][1]) != 0)
      return -1;
  if (ub_ctx_set_option(ctx, "module-config:", c->anchor ? "validator iterator" : "iterator") != 0)
    return -1;
  *why = "the name servers are not ADDR@PORT";
  if (set_servers(ctx, c->servers) != 0)
    return -1;
  *why = "the trust anchor cannot be read";
  if (c->anchor && ub_ctx_add_ta_file(ctx, c->anchor) != 0)
    return -1;
  if (ub_ctx_async(ctx, 1) != 0)
    return -1;
  /* the first of these puts all of the above in force */
  for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++)
    if (ub_ctx_zone_remove(ctx, built_in[i]) != 0)
      return -1;
  return 0;
}

static void lookup_close(struct lookup *l)
{
  loop_timer_stop(&l->closing);
  if (l->fd >= 0)
    loop_close(l->fd);
  ub_ctx_delete(l->ctx);
  free(l);
}

static void fire_closing(struct loop_timer *t)
{
  lookup_close((struct lookup *)((char *)t - offsetof(struct lookup, closing)));
}

/* not at once: libunbound may be calling us */
static void close_when_idle(struct lookup *l)
{
  if (l->is_retired && l->under_way == 0)
    loop_timer_in(&l->closing, 0);
}

static void ready(struct loop_handler *h, int fd, int events)
{
  struct lookup *l = (struct lookup *)h;

  (void)events;
  ub_process(l->ctx);
  loop_drained(fd, LOOP_READ);
}

struct lookup *lookup_open(const struct lookup_config *c, const char **why)
{
  struct lookup *l = calloc(1, sizeof *l);

  *why = "out of memory";
  if (!l)
    return NULL;
  l->handler.ready = ready;
  l->closing.fire = fire_closing;
  l->fd = -1;
  l->ctx = ub_ctx_create();
  if (!l->ctx) {
    free(l);
    return NULL;
  }
  if (configure(l->ctx, c, why) != 0)
    goto fail;
  *why = "out of descriptors";
  l->fd = dup(ub_fd(l->ctx));
  if (l->fd < 0 || loop_add(l->fd, &l->handler) != 0)
    goto fail;
  loop_want(l->fd, LOOP_READ);
  return l;
fail:
  if (l->fd >= 0)
    close(l->fd);
  l->fd = -1;
  lookup_close(l);
  return NULL;
}

void lookup_retire(struct lookup *l)
{
  if (!l)
    return;
  l->is_retired = 1;
  close_when_idle(l);
}

/* ---- results */

static enum ask_status status_of(int err, const struct ub_result *r)
{
  if (err != 0 || r->bogus)
    return ASK_FAILED;
  if (r->nxdomain || r->rcode == RCODE_NXDOMAIN)
    return ASK_NXDOMAIN;
  if (r->rcode != 0)
    return ASK_FAILED;
  return r->havedata ? ASK_OK : ASK_NODATA;
}

static const char *why_failed(int err, const struct ub_result *r)
{
  if (err != 0)
    return ub_strerror(err);
  if (r->bogus)
    return r->why_bogus ? r->why_bogus : "DNSSEC validation failed";
  return "server failure, or no answer in time";
}

static int copy_records(stralloc *out, const struct ub_result *r)
{
  size_t count = 0;

  for (size_t i = 0; r->data && r->data[i]; i++) {
    if (r->len[i] < 0 || answer_add(out, r->data[i], (size_t)r->len[i]) != 0)
      break; /* what does not fit is left out */
    count++;
  }
  return count > 0 ? 0 : -1;
}

static void done(void *arg, int err, struct ub_result *r)
{
  struct lookup_query *q = arg;
  struct lookup *l = q->in;
  stralloc records = {0};
  struct lookup_result out = {ASK_FAILED, ASK_INSECURE, 0, "", &records, "no answer"};

  q->in = NULL;
  l->under_way--;
  if (err == 0 && !r)
    err = UB_SERVFAIL;
  out.status = status_of(err, r);
  if (out.status == ASK_FAILED)
    out.why = why_failed(err, r);
  if (out.status == ASK_OK && copy_records(&records, r) != 0)
    out.status = ASK_FAILED;
  if (err == 0) {
    out.security = r->bogus ? ASK_BOGUS : r->secure ? ASK_SECURE : ASK_INSECURE;
    out.ttl = r->ttl > 0 ? (uint32_t)r->ttl : 0;
    if (r->canonname)
      out.canonical = r->canonname;
  }
  q->done(q, &out);
  free(records.s);
  ub_resolve_free(r);
  close_when_idle(l);
}

static int ask(struct lookup *l, const char *name, int type, struct lookup_query *q)
{
  q->in = NULL;
  if (ub_resolve_async(l->ctx, name, type, CLASS_IN, q, done, &q->id) != 0)
    return -1;
  q->in = l;
  l->under_way++;
  return 0;
}

int lookup_ask(struct lookup *l, const char *name, enum answer_type t, struct lookup_query *q)
{
  return ask(l, name, answer_type_number(t), q);
}

int lookup_keys(struct lookup *l, struct lookup_query *q)
{
  return ask(l, ".", TYPE_DNSKEY, q);
}

void lookup_cancel(struct lookup_query *q)
{
  struct lookup *l = q->in;

  if (!l)
    return;
  q->in = NULL;
  ub_cancel(l->ctx, q->id);
  l->under_way--;
  close_when_idle(l);
}
