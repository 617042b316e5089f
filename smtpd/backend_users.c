/* backend_users.c - table users: logins with what is kept of their passwords
 *
 * Runs in heloise-auth, which alone is handed that file. A login that is not there costs
 * what another costs: its password is checked against that of the first one in the table. */
#include "smtpd/backend_users.h"

#include <errno.h>
#include <gsasl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/table.h"
#include "smtpd/backend.h"

static struct table *users;
static struct password first; /* of the table: what strangers are measured with */
static size_t count;
static int all_have_scram;
static char secret[64]; /* what salts are made up from */
static size_t secretlen;

static int look_at(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  struct password p;
  const char *why;

  (void)arg;
  (void)key;
  (void)keylen;
  if (password_read(v->s, v->len, &p, &why) != 0)
    return 0;
  if (count++ == 0)
    first = p;
  all_have_scram = all_have_scram && p.scram.iterations > 0;
  return 0;
}

/* it comes with the table, so that a salt is the same after a restart */
static void take_secret(void)
{
  struct table_value v;

  if (table_get(users, USERS_DECOY_TABLE, USERS_DECOY_KEY, strlen(USERS_DECOY_KEY), &v) &&
      v.len > 0 && v.len <= sizeof secret) {
    memcpy(secret, v.s, v.len);
    secretlen = v.len;
  } else if (secretlen == 0 && gsasl_nonce(secret, 32) == GSASL_OK) {
    secretlen = 32;
  }
}

int backend_users_table(int fd)
{
  struct table *fresh = table_open(fd);
  int e = errno;

  close(fd);
  errno = e;
  if (!fresh)
    return -1;
  table_close(users);
  users = fresh;
  count = 0;
  all_have_scram = 1;
  explicit_bzero(&first, sizeof first);
  table_each(users, "users", look_at, NULL);
  take_secret();
  return 0;
}

static int find(const char *login, struct password *p)
{
  struct table_value v;
  const char *why;

  return table_get(users, "users", login, strlen(login), &v) &&
         password_read(v.s, v.len, p, &why) == 0;
}

int backend_users_has(const char *login)
{
  struct password p;
  int r = find(login, &p);

  explicit_bzero(&p, sizeof p);
  return r;
}

int backend_users_keys(const char *login, struct password_scram *keys)
{
  struct password p;
  int r = 0;

  if (find(login, &p) && p.scram.iterations)
    *keys = p.scram;
  else
    r = password_decoy(login, secret, secretlen,
                       first.scram.iterations ? first.scram.iterations : PASSWORD_ITERATIONS, keys);
  explicit_bzero(&p, sizeof p);
  return r;
}

static unsigned int mechanisms(void)
{
  return count == 0 ? 0 : all_have_scram ? MECHANISMS_ALL : MECHANISMS_OF_PASSWORDS;
}

static struct proof *of_work(struct work *w)
{
  return (struct proof *)((char *)w - offsetof(struct proof, work));
}

/* in a thread */
static void check(struct work *w)
{
  struct proof *p = of_work(w);

  p->fits = password_check(&p->kept, p->password.s);
  explicit_bzero(&p->kept, sizeof p->kept);
}

static void checked(struct work *w)
{
  struct proof *p = of_work(w);

  if (p->is_stranger) /* and if it fits the first login's password, that is chance */
    proof_answer(p, PROOF_STRANGER);
  else
    proof_answer(p, p->fits < 0 ? PROOF_UNSURE : p->fits ? PROOF_YES : PROOF_NO);
}

static int ask(struct proof *p)
{
  p->is_stranger = !find(p->login.s, &p->kept);
  if (p->is_stranger && count == 0) {
    proof_answer(p, PROOF_STRANGER);
    return 0;
  }
  if (p->is_stranger)
    p->kept = first;
  p->work.run = check;
  p->work.done = checked;
  return workers_add(&p->work);
}

const struct backend backend_users = {mechanisms, ask};
