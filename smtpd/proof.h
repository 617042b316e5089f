/* proof.h - one password, and the back ends that are asked whether it is right
 *
 * Setting auth-backends says which and in what order. A back end that knows the login
 * decides; one that cannot tell strangers from wrong passwords passes on what it does not
 * take. A proof outlives the client that asked for it: what it shows is counted and logged
 * all the same. */
#ifndef SMTPD_PROOF_H
#define SMTPD_PROOF_H

#include <stdint.h>
#include <stralloc.h>

#include "common/ip.h"
#include "common/loop.h"
#include "common/sasl.h"
#include "smtpd/password.h"
#include "smtpd/workers.h"

enum proof_result {
  PROOF_YES,
  PROOF_NO,       /* a login of this back end's, and the wrong password */
  PROOF_STRANGER, /* not one of its, or it does not say */
  PROOF_UNSURE    /* it cannot tell now */
};

/* who wants to log in */
struct proof_client {
  char client[IP_PORT_TEXT]; /* for the log */
  struct ip ip;
  enum mechanism mechanism;
};

struct proof {
  struct loop_timer timer; /* first; the back end's */
  struct work work;        /* of back end users */
  struct proof_client who;
  stralloc login, password; /* NUL-terminated; bounds: sasl.h, password.h */
  struct password kept;     /* of back end users */
  int is_stranger, fits;
  size_t backend;           /* which one is asked, in the order of the setting */
  int was_unsure;
  uint64_t number;          /* of the back end's */
  struct proof *next;       /* of the back end's */
  void *owner;              /* NULL: gone */
  void (*done)(void *owner, enum outcome o);
};

#define PROOFS_MAX 1000 /* at once */

/* starts: 0, done() follows, later; -1: too many, or memory is out. login is as sasl_login()
 * makes it; the password is copied. */
int proof_start(const struct proof_client *who, const char *login, const char *password,
                size_t passwordlen, void *owner,
                void (*done)(void *owner, enum outcome o), struct proof **p);
/* the owner is going */
void proof_forsake(struct proof *p);

/* of back ends: what they found */
void proof_answer(struct proof *p, enum proof_result r);

/* counts and logs how it went with a login; o is what the client is told */
void proof_note(const struct proof_client *who, const char *login, enum outcome o, const char *reason);

#endif
