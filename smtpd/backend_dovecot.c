/* backend_dovecot.c - logins and passwords that Dovecot knows
 *
 * Runs in heloise-auth. Whatever mechanism the client used for its password, Dovecot is asked
 * with PLAIN. It does not tell strangers from wrong passwords, so the next back end is asked
 * too. */
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "smtpd/backend.h"
#include "smtpd/dovecot.h"

static void on_challenge(struct dovecot_request *r, const char *bytes, size_t len)
{
  struct proof *p = r->owner;

  (void)bytes;
  (void)len;
  dovecot_cancel(r); /* PLAIN has none */
  free(r);
  proof_answer(p, PROOF_UNSURE);
}

static void on_over(struct dovecot_request *r, enum proof_result result, const char *login)
{
  struct proof *p = r->owner;

  free(r);
  if (result == PROOF_YES && (!stralloc_copys(&p->login, login) || !stralloc_0(&p->login)))
    result = PROOF_UNSURE;
  proof_answer(p, result);
}

/* NUL login NUL password */
static int ask(struct proof *p)
{
  static const struct dovecot_ops ops = {on_challenge, on_over};
  struct dovecot_request *r = calloc(1, sizeof *r);
  size_t login = strlen(p->login.s);
  stralloc message = {0};
  int sent = -1;

  if (r && stralloc_ready(&message, login + p->password.len + 2) && stralloc_0(&message) &&
      stralloc_catb(&message, p->login.s, login + 1) &&
      stralloc_catb(&message, p->password.s, p->password.len)) {
    r->ops = &ops;
    r->owner = p;
    sent = dovecot_start(r, MECHANISM_PLAIN, &p->who, message.s, message.len);
  }
  secret_free(&message);
  if (sent != 0)
    free(r);
  return sent;
}

const struct backend backend_dovecot = {dovecot_mechanisms, ask};
