/* authlimit.h - who has failed to log in, how often and how lately
 *
 * Failures are counted for ten minutes from the first: per client network (an IPv4 address,
 * an IPv6 /64), per login, and per both together. A login that got in from a network within
 * a week is known there: then only failures of that login from that network count against
 * it, so that nobody is shut out by strangers who guess at his password, nor by neighbours.
 * Memory is of fixed size; under a flood the oldest and smallest counts are forgotten.
 * Names and addresses are kept as keyed hashes only. */
#ifndef SMTPD_AUTHLIMIT_H
#define SMTPD_AUTHLIMIT_H

#include <stdint.h>

#include "common/ip.h"

#define AUTHLIMIT_WINDOW 600000            /* ms */
#define AUTHLIMIT_KNOWN (7 * 86400000ULL)  /* ms */

/* why a login from there is not even looked at; NULL: it is. `limit` is
 * setting auth-failure-limit, now is loop_now(). */
const char *authlimit_blocks(const struct ip *ip, const char *login, uint64_t limit, uint64_t now);
/* a failure; the number of them from that network in the window, this one included */
unsigned int authlimit_failed(const struct ip *ip, const char *login, uint64_t now);
/* how many there are, without another one */
unsigned int authlimit_failures(const struct ip *ip, uint64_t now);
/* a success */
void authlimit_passed(const struct ip *ip, const char *login, uint64_t now);

#endif
