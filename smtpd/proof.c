/* proof.c - one password, and the back ends that are asked whether it is right
 *
 * Runs in heloise-auth. Logins and passwords are hostile bytes; passwords are wiped when
 * they have been looked at, and are in no log line. */
#include "smtpd/proof.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/secret.h"
#include "common/settings.h"
#include "smtpd/authlimit.h"
#include "smtpd/backend.h"

static unsigned int count;

static void drop(struct proof *p)
{
  count--;
  secret_free(&p->password);
  stralloc_free(&p->login);
  explicit_bzero(p, sizeof *p);
  free(p);
}

void proof_note(const struct proof_client *who, const char *login, enum outcome o, const char *reason)
{
  const char *word = mechanism_row(who->mechanism)->word;

  if (o == OUTCOME_OK) {
    authlimit_passed(&who->ip, login, loop_now());
    log_login(who->client, login, word);
    return;
  }
  if (o == OUTCOME_WRONG)
    authlimit_failed(&who->ip, login, loop_now());
  log_login_failed(who->client, login, word, reason);
}

static void finish(struct proof *p, enum outcome o, const char *reason)
{
  void *owner = p->owner;
  void (*done)(void *, enum outcome) = p->done;

  proof_note(&p->who, p->login.s, o, reason);
  drop(p);
  if (owner)
    done(owner, o);
}

/* asks the back end whose turn it is, or says that there is none left */
static void ask(struct proof *p)
{
  const struct backend *b;
  const char *blocked = authlimit_blocks(&p->who.ip, p->login.s, settings.auth_failure_limit, loop_now());

  if (blocked) { /* others of its kind have failed while it waited */
    finish(p, OUTCOME_LIMITED, blocked);
    return;
  }
  while ((b = backend_at(p->backend)) && b->password(p) != 0) {
    p->was_unsure = 1;
    p->backend++;
  }
  if (!b)
    finish(p, p->was_unsure ? OUTCOME_TEMP : OUTCOME_WRONG,
           p->was_unsure ? "a back end does not answer" : "unknown login or wrong password");
}

void proof_answer(struct proof *p, enum proof_result r)
{
  if (r == PROOF_YES) {
    finish(p, OUTCOME_OK, "");
  } else if (r == PROOF_NO) {
    finish(p, OUTCOME_WRONG, "wrong password");
  } else {
    p->was_unsure |= r == PROOF_UNSURE;
    p->backend++;
    ask(p);
  }
}

static void begin(struct loop_timer *t)
{
  ask((struct proof *)t);
}

int proof_start(const struct proof_client *who, const char *login, const char *password,
                size_t passwordlen, void *owner,
                void (*done)(void *owner, enum outcome o), struct proof **out)
{
  struct proof *p = count < PROOFS_MAX && passwordlen <= PASSWORD_MAX ? calloc(1, sizeof *p) : NULL;

  if (!p)
    return -1;
  count++;
  p->who = *who;
  p->owner = owner;
  p->done = done;
  p->timer.fire = begin; /* from the loop: done() is never called before we return */
  if (secret_copy(&p->password, password, passwordlen) != 0 || !stralloc_copys(&p->login, login) ||
      !stralloc_0(&p->login) || loop_timer_in(&p->timer, 0) != 0) {
    drop(p);
    return -1;
  }
  *out = p;
  return 0;
}

void proof_forsake(struct proof *p)
{
  p->owner = NULL;
}
