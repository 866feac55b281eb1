-- What differs between two versions.
\set SHOW_CONTEXT never
SELECT outbox.registry_set_level('d', 'NONE');
SELECT version FROM outbox.registry_register('d', '{"type":"record","name":"shop.Order","doc":"an order","fields":[
	{"name":"id","type":"int"},
	{"name":"gone","type":{"type":"record","name":"Gone","fields":[{"name":"x","type":"int"}]}},
	{"name":"note","type":["null","string"],"default":null,"doc":"free text"},
	{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
	{"name":"state","type":{"type":"enum","name":"State","symbols":["new","paid"]}},
	{"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"sku","type":"string"},{"name":"next","type":["null","Item"]}]}}},
	{"name":"tags","type":{"type":"map","values":{"type":"fixed","name":"Tag","size":4}}},
	{"name":"either","type":[{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]},{"type":"record","name":"B","fields":[{"name":"x","type":"int"}]}]},
	{"name":"old","type":"string"}]}');
SELECT version FROM outbox.registry_register('d', '{"type":"record","name":"shop.Order","doc":"one order","fields":[
	{"name":"id","type":"long","default":0},
	{"name":"note","type":["null","string"],"default":null,"doc":"what the customer says"},
	{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
	{"name":"state","type":{"type":"enum","name":"State","symbols":["new","paid","sent"],"default":"new"}},
	{"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"sku","type":["null","string"]},{"name":"next","type":["null","Item"]},{"name":"n","type":"int"}]}}},
	{"name":"tags","type":{"type":"map","values":{"type":"fixed","name":"Tag","size":8}}},
	{"name":"either","type":[{"type":"record","name":"A","fields":[{"name":"x","type":"long"}]},{"type":"record","name":"B","fields":[{"name":"x","type":"int"}]}]},
	{"name":"added","type":{"type":"record","name":"Added","fields":[{"name":"y","type":"int"}]}},
	{"name":"renamed","type":"string","aliases":["old"],"owner":"team a"}]}');
SELECT version FROM outbox.registry_register('d', '"int"');
SELECT * FROM outbox.schema_diff('d', 1, 2);
SELECT * FROM outbox.schema_diff('d', 2, 2);
SELECT * FROM outbox.schema_diff('d', 3, 2) WHERE path = '$';
SELECT * FROM outbox.schema_diff('d', 3, 4);
SELECT * FROM outbox.schema_diff('nobody', 1, 2);
