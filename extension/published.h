// What the publications say of a relation.
#pragma once

#include "extension/row_filter.h"
#include "extension/server.h"

namespace fatwal::plugin {

struct Published {
    bool insert, update, remove, truncate;
    Oid as_relation;  // the relation itself, or the ancestor it is published as

    [[nodiscard]] bool any() const { return insert || update || remove || truncate; }
};

// The publications that a session streams, by their names. A name that finds none publishes
// nothing, as in Postgres 18: a publication that is dropped and made again must not end the stream
// at the changes between the two.
struct PublicationNames {
    struct Name {
        const char* text;
        bool missing;  // at the last look-up: the warning comes once
    };
    Name* name;
    int count;
};

// What of the relation's columns and rows is published, by the names of the relation it is
// published as. Held by the current context.
struct Selection {
    Bitmapset* columns;       // attribute numbers; nullptr all
    const char* publication;  // one whose list that is
    bool lists_differ;  // between publications: only columns that all of them list are published
    List* filters[kFilteredActions];  // stored expressions, any of which is to hold; NIL: all rows
    List* row_filters;                // the same of the rows that are there, whatever brings them
};

// Looks `relation` up in the publications as of the snapshot in use. Only what a publication can
// hold is ever published: permanent tables, partitioned ones too; never a materialized view, a
// foreign table or a catalog. Of the extension's own tables own_tables.h decides, not a
// publication.
Published look_up_published(Relation relation, PublicationNames& names, Selection* selection);

// The publication `name` as of the snapshot in use, or nullptr and, the first time, a warning.
Publication* find_publication(PublicationNames::Name& name);

// `schema.table`, quoted, for messages.
const char* qualified_name(Relation relation);
const char* qualified_name(Oid relation);

}  // namespace fatwal::plugin
