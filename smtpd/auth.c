/* auth.c - heloise-auth: does a local user exist?
 *
 * Runs as hlauth; reads the user database and the compiled tables. heloise-smtpd is
 * trusted less: what does not parse ends its channel, and it is restarted. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/confine.h"
#include "common/localuser.h"
#include "common/program.h"

#define ADDRESS_BOUND 1000 /* bytes of an address in a question */

#define PEERS_MAX 32       /* processes of heloise-smtpd */

/* a process of heloise-smtpd: "smtpd", "smtpd.2", ... */
struct peer {
  struct chan chan; /* first */
  char name[24];
};

static struct peer peers[PEERS_MAX];
static int user_flags;

static int answer(struct chan *c, uint64_t number, enum verdict v, const char *reason)
{
  struct wire_out o;

  wire_start(&o, WIRE_KNOWS);
  wire_num(&o, number);
  wire_str(&o, verdict_word(v));
  wire_str(&o, reason);
  return chan_send(c, &o, -1);
}

static int on_known(struct chan *c, struct wire_msg *m, const char **why)
{
  static struct localuser user; /* bound: localuser.h */
  const char *address = m->f[1].s, *at, *reason = "";
  size_t len = m->f[1].len;
  uint64_t number;
  enum verdict v;

  *why = "a question that is none";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 || len > ADDRESS_BOUND)
    return -1;
  at = memrchr(address, '@', len);
  v = localuser_find(program_table(), address, at ? (size_t)(at - address) : len, user_flags,
                     &user, &reason);
  if (v == V_PERM)
    reason = "no such user here";
  else if (v == V_OK)
    reason = "";
  /* unsent: the channel is full or gone, and smtpd's own clock ends its wait */
  answer(c, number, v, reason);
  return 0;
}

static void on_closed(struct chan *c, const char *why)
{
  if (why)
    program_fault(((struct peer *)c)->name, why);
}

static const struct chan_ops ops = {on_known, on_closed, NULL};

static int take_channel(const char *peer, int fd)
{
  struct peer *p = peers;

  while (p < peers + PEERS_MAX && p->name[0] && strcmp(p->name, peer) != 0)
    p++;
  if (p == peers + PEERS_MAX || strlen(peer) >= sizeof p->name)
    return close(fd);
  if (p->name[0])
    chan_close(&p->chan);
  strcpy(p->name, peer);
  return chan_open(&p->chan, fd, LINK_USERS, WIRE_HIGH, &ops);
}

static int start(void)
{
  if (localuser_has_system("hlauth"))
    user_flags = LOCALUSER_HAS_SYSTEM;
  return confine_program("auth", NULL, 0);
}

int main(int argc, char **argv)
{
  static const struct program auth = {.name = "auth", .channel = take_channel, .start = start};

  return program_main(&auth, argc, argv);
}
