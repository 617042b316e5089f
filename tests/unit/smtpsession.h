/* smtpsession.h - a session without sockets, for tests: a world that answers at once
 *
 * Local users of example.org: alice, bob and postmaster; slow@ gives a temporary error. */
#ifndef TESTS_UNIT_SMTPSESSION_H
#define TESTS_UNIT_SMTPSESSION_H

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/settings.h"
#include "smtpd/session.h"

/* what the world does, and what it was given */
struct fake {
  const struct table *table;
  int no_auth, no_intake, is_full, is_lost, no_tls_now; /* faults */
  int has_tls;
  const char *refuse_open, *refuse_commit;  /* replies of the intake */
  stralloc asked, message;
  unsigned int opened, committed, aborted, unclean; /* unclean: committed, and not lines of CR LF */
  int is_open;
  unsigned int mechanisms, forgone; /* of AUTH */
  enum mechanism mechanism;
  stralloc secret; /* the last one */
};

static struct fake fake;

static const struct table *fake_table(void)
{
  return fake.table;
}

static int fake_ask(struct session *s, const char *address)
{
  (void)s;
  return fake.no_auth || !stralloc_copys(&fake.asked, address) || !stralloc_0(&fake.asked) ? -1 : 0;
}

static int fake_open(struct session *s)
{
  (void)s;
  if (fake.no_intake)
    return -1;
  fake.opened++;
  fake.is_open = 1;
  fake.message.len = 0;
  return 0;
}

static int fake_data(struct session *s, const char *bytes, size_t len)
{
  (void)s;
  errno = fake.is_full ? EAGAIN : EPIPE;
  if (fake.is_full || fake.is_lost || len > SESSION_FRAME)
    return -1;
  return stralloc_catb(&fake.message, bytes, len) ? 0 : -1;
}

static int fake_commit(struct session *s)
{
  struct content c;

  (void)s;
  errno = fake.is_full ? EAGAIN : EPIPE;
  if (fake.is_full || fake.is_lost)
    return -1;
  content_start(&c);
  content_scan(&c, fake.message.s, fake.message.len);
  content_end(&c);
  fake.unclean += c.has_nul || c.has_bare_cr || c.has_bare_lf || !c.ends_line;
  fake.committed++;
  return 0;
}

static void fake_abort(struct session *s)
{
  (void)s;
  fake.aborted += (unsigned int)fake.is_open;
  fake.is_open = 0;
}

static unsigned int fake_mechanisms(void)
{
  return fake.mechanisms;
}

/* the mechanism is of no matter: nothing gets a challenge, "ok NAME" is a login, and the rest a
 * wrong password */
static int fake_respond(struct session *s, const char *bytes, size_t len)
{
  (void)s;
  return fake.no_auth || !stralloc_copyb(&fake.secret, bytes, len) || !stralloc_0(&fake.secret) ? -1 : 0;
}

static int fake_login(struct session *s, enum mechanism m, const char *initial, size_t len)
{
  fake.mechanism = m;
  return fake_respond(s, initial ? initial : "", initial ? len : 0);
}

static void fake_forgo(struct session *s)
{
  (void)s;
  fake.forgone++;
}

static int fake_can_tls(void)
{
  return fake.has_tls;
}

static int fake_start_tls(struct session *s)
{
  (void)s;
  return fake.no_tls_now ? -1 : 0;
}

static int fake_binding(struct session *s, const char *type, unsigned char *out)
{
  if (!s->tls.is_on || strcmp(type, "tls-exporter") != 0)
    return -1;
  memset(out, 'b', 32);
  return 32;
}

static const struct session_world fake_world = {
  .table = fake_table, .ask = fake_ask, .open = fake_open, .data = fake_data, .commit = fake_commit,
  .abort = fake_abort, .can_tls = fake_can_tls, .start_tls = fake_start_tls, .binding = fake_binding,
  .mechanisms = fake_mechanisms, .login = fake_login, .respond = fake_respond, .forgo = fake_forgo,
};

static enum verdict fake_verdict(void)
{
  return strncmp(fake.asked.s, "slow@", 5) == 0      ? V_TEMP
         : strncmp(fake.asked.s, "alice@", 6) == 0   ? V_OK
         : strncmp(fake.asked.s, "bob@", 4) == 0     ? V_OK
         : strncmp(fake.asked.s, "postmaster@", 11) == 0 ? V_OK
                                                        : V_PERM;
}

/* answers what the session waits for; 0 when it waits for nothing that is answered */
static int fake_answer(struct session *s)
{
  switch (s->doing) {
  case ASKED:
    session_known(s, fake_verdict(), "");
    return 1;
  case PROVING:
    if (fake.secret.len <= 1)
      session_challenged(s, "what?", 5);
    else if (strncmp(fake.secret.s, "ok ", 3) == 0)
      session_proved(s, OUTCOME_OK, fake.secret.s + 3);
    else
      session_proved(s, OUTCOME_WRONG, "");
    return 1;
  case OPENING:
    if (fake.refuse_open) {
      fake.is_open = 0;
      session_refused(s, fake.refuse_open);
    } else {
      session_opened(s, "42.1");
    }
    return 1;
  case SECURING:
    session_secured(s, "TLSv1.3 TLS_AES_256_GCM_SHA384");
    return 1;
  case COMMITTING:
    fake.is_open = 0;
    if (fake.refuse_commit)
      session_refused(s, fake.refuse_commit);
    else
      session_done(s, "42.1");
    return 1;
  default:
    return 0;
  }
}

/* feeds all of it in pieces of at most `piece` bytes, as a connection would */
static void fake_feed(struct session *s, const char *bytes, size_t len, size_t piece)
{
  stralloc pending = {0};
  size_t at = 0;

  for (;;) {
    size_t used = session_feed(s, pending.s, pending.len);
    if (used > 0) {
      memmove(pending.s, pending.s + used, pending.len - used);
      pending.len -= used;
      continue;
    }
    if (s->doing == SECURING)
      pending.len = 0; /* what came in clear */
    if (fake_answer(s))
      continue;
    if (at == len || !session_is_ready(s))
      break;
    if (len - at < piece)
      piece = len - at;
    if (!stralloc_catb(&pending, bytes + at, piece))
      break;
    at += piece;
  }
  stralloc_free(&pending);
}

/* entries: table, key, value; a NULL ends them. "client:..." and table verbs take networks. */
static struct table *fake_tables(const char *const (*entries)[3])
{
  int fd = memfd_create("tables", MFD_CLOEXEC);
  struct table_maker *m = table_maker_start(fd);
  struct table *t;

  for (; m && (*entries)[0]; entries++) {
    const char *name = (*entries)[0], *key = (*entries)[1], *value = (*entries)[2];
    const char *prefix = strncmp(key, "client:", 7) == 0 ? "client:"
                         : strncmp(key, "submission:", 11) == 0 ? "submission:" : "";
    struct ip_net net;
    if ((*prefix || strcmp(name, "verbs") == 0) &&
        ip_net_parse(key + strlen(prefix), strlen(key + strlen(prefix)), &net) == 0)
      table_maker_add_net(m, name, prefix, &net, value, strlen(value));
    else
      table_maker_add(m, name, key, strlen(key), value, strlen(value));
  }
  if (!m || table_maker_finish(m) != 0)
    return NULL;
  t = table_open(fd);
  close(fd);
  return t;
}

#endif
