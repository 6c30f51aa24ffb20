-- The shop's tables on the embedded database.
CREATE TABLE vendors (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL
);

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    phone TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
);

CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    vendor_id INTEGER NOT NULL REFERENCES vendors (id),
    sku TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    category TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    stock INTEGER NOT NULL CHECK (stock >= 0),
    updated_at_ms INTEGER NOT NULL
);
CREATE INDEX products_by_category ON products (category, id);
CREATE INDEX products_by_price ON products (price_cents, id);
CREATE INDEX products_by_category_and_price ON products (category, price_cents, id);
CREATE INDEX products_by_vendor ON products (vendor_id);

-- Full-text search over name and description; the index holds no second copy of the text.
CREATE VIRTUAL TABLE products_search USING fts5 (
    name, description, content = 'products', content_rowid = 'id', tokenize = 'porter unicode61'
);
CREATE TRIGGER products_search_insert AFTER INSERT ON products BEGIN
    INSERT INTO products_search (rowid, name, description) VALUES (new.id, new.name, new.description);
END;
CREATE TRIGGER products_search_delete AFTER DELETE ON products BEGIN
    INSERT INTO products_search (products_search, rowid, name, description)
    VALUES ('delete', old.id, old.name, old.description);
END;
CREATE TRIGGER products_search_update AFTER UPDATE OF name, description ON products BEGIN
    INSERT INTO products_search (products_search, rowid, name, description)
    VALUES ('delete', old.id, old.name, old.description);
    INSERT INTO products_search (rowid, name, description) VALUES (new.id, new.name, new.description);
END;

CREATE TABLE cart_items (
    user_id INTEGER NOT NULL REFERENCES users (id),
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 99),
    PRIMARY KEY (user_id, product_id)
) WITHOUT ROWID;

CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id),
    status TEXT NOT NULL CHECK (status IN ('placed', 'paid', 'payment_deferred')),
    total_cents INTEGER NOT NULL,
    payment_reference TEXT,
    placed_at_ms INTEGER NOT NULL
);
CREATE INDEX orders_by_user ON orders (user_id, id DESC);
CREATE INDEX orders_by_time ON orders (placed_at_ms);

CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    product_id INTEGER NOT NULL REFERENCES products (id),
    vendor_id INTEGER NOT NULL REFERENCES vendors (id),
    quantity INTEGER NOT NULL,
    unit_price_cents INTEGER NOT NULL,
    PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;
CREATE INDEX order_items_by_vendor ON order_items (vendor_id, order_id);

-- What the background jobs leave behind.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    sent_at_ms INTEGER NOT NULL
);
CREATE TABLE product_events (
    product_id INTEGER NOT NULL,
    event TEXT NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (product_id, event)
) WITHOUT ROWID;
CREATE TABLE vendor_reports (
    vendor_id INTEGER PRIMARY KEY,
    revenue_cents INTEGER NOT NULL,
    orders INTEGER NOT NULL,
    generated_at_ms INTEGER NOT NULL
);
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);
