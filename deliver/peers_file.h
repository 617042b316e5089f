/* peers_file.h - the file state/peers: where cards and the words that taught them lie
 *
 * For peers.c and peers_learn.c. 131072 cards of 128 bytes and 32768 texts of 96: 100,000 peers
 * cost less than 20 MB; the file is sparse, and only what is used takes room. Both are hashed to a
 * place and lie within a short way from it; when that is full the oldest makes room. */
#ifndef DELIVER_PEERS_FILE_H
#define DELIVER_PEERS_FILE_H

#include "deliver/peers.h"

#define PEERS_CARDS 131072 /* a power of two */
#define PEERS_TEXTS 32768  /* a power of two */

/* the peer's card: 1, or 0 and an empty card that bears its address */
int peers_load(const struct peers *p, const struct ip *ip, uint16_t port, struct peers_card *card);
/* writes a card, as used at its time `used`; one without facts is erased. 0, or -1 with errno */
int peers_store(struct peers *p, const struct peers_card *card);
/* the first place from i on that may hold a card; PEERS_CARDS: none does */
size_t peers_next(const struct peers *p, size_t i);
/* the card at place i (below PEERS_CARDS): 1, or 0 when none is there */
int peers_at(const struct peers *p, size_t i, struct peers_card *card);
/* since and text of a fact; text NULL erases them */
void peers_keep_text(struct peers *p, const struct peers_card *card, enum peers_fact f,
                     uint32_t since, const char *text);

#endif
