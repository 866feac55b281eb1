import java.util.List;
import java.util.Map;

import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.avro.AvroSchema;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.avro.AvroSchemaProvider;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.SchemaMetadata;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;

/** Confluent's Java client of the registry API against the URL in args[0]; prints TAP. */
public class Client {
	static final String V1 = "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"java\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}";
	static final String V2 = V1.replace("\"type\":\"int\"}", "\"type\":\"int\"},{\"name\":\"b\",\"type\":\"string\",\"default\":\"\"}");
	static final String BAD = V1.replace("\"a\"", "\"c\"");
	static int number;
	static boolean failed;
	static String url;

	interface Call {
		Object run() throws Exception;
	}

	/** Without a cache of what others asked. */
	static CachedSchemaRegistryClient client() {
		return new CachedSchemaRegistryClient(List.of(url), 100, List.of(new AvroSchemaProvider()), Map.of());
	}

	static Object is(String title, Object wanted, Call call) {
		Object got;

		try {
			got = call.run();
		} catch (RestClientException e) {
			got = e.getStatus() + " " + e.getErrorCode();
		} catch (Exception e) {
			got = e;
		}
		boolean good = wanted == null ? !(got instanceof Exception || got instanceof String) : wanted.equals(got);
		failed |= !good;
		System.out.println((good ? "ok " : "not ok ") + ++number + " - " + title);
		if (!good)
			System.out.println("# got " + got + ", wanted " + wanted);
		return got;
	}

	public static void main(String[] args) {
		url = args[0];
		CachedSchemaRegistryClient c = client();
		Object first = is("register", null, () -> c.register("java/s", new AvroSchema(V1)));
		Object second = is("register a second version", null, () -> c.register("java/s", new AvroSchema(V2)));
		is("register the first again", first, () -> client().register("java/s", new AvroSchema(V1)));
		is("register what does not fit", "409 409", () -> client().register("java/s", new AvroSchema(BAD)));
		is("by id", new AvroSchema(V2), () -> client().getSchemaById((Integer) second));
		is("unknown id", "404 40403", () -> client().getSchemaById(2000000000));
		is("subjects by id", List.of("java/s"), () -> List.copyOf(client().getAllSubjectsById((Integer) first)));
		is("subjects", true, () -> client().getAllSubjects().contains("java/s"));
		is("subjects by prefix", List.of("java/s"), () -> List.copyOf(client().getAllSubjectsByPrefix("java/")));
		is("versions", List.of(1, 2), () -> client().getAllVersions("java/s"));
		is("versions of no subject", "404 40401", () -> client().getAllVersions("none"));
		is("latest", second, () -> {
			SchemaMetadata m = client().getLatestSchemaMetadata("java/s");
			return m.getVersion() == 2 ? m.getId() : -1;
		});
		is("one version", first, () -> client().getSchemaMetadata("java/s", 1).getId());
		is("no version", "404 40402", () -> client().getSchemaMetadata("java/s", 9));
		is("version of a schema", 1, () -> client().getVersion("java/s", new AvroSchema(V1)));
		is("id of a schema", second, () -> client().getId("java/s", new AvroSchema(V2)));
		is("id of another", "404 40403", () -> client().getId("java/s", new AvroSchema(BAD)));
		is("compatible", true, () -> client().testCompatibility("java/s", new AvroSchema(V2)));
		is("not compatible", false, () -> client().testCompatibility("java/s", new AvroSchema(BAD)));
		is("and why not", true, () -> client().testCompatibilityVerbose("java/s", new AvroSchema(BAD)).toString().contains("$.c"));
		is("level", "BACKWARD", () -> client().getCompatibility(null));
		is("level of a subject", "NONE", () -> client().updateCompatibility("java/s", "NONE"));
		is("level of it afterwards", "NONE", () -> client().getCompatibility("java/s"));
		is("mode", "READWRITE", () -> client().getMode());
		is("delete a version", 2, () -> client().deleteSchemaVersion("java/s", "2"));
		is("delete the subject", List.of(1), () -> client().deleteSubject("java/s"));
		is("delete it for good", List.of(1, 2), () -> client().deleteSubject("java/s", true));
		is("no more of it", false, () -> client().getAllSubjects().contains("java/s"));
		System.out.println("1.." + number);
		System.exit(failed ? 1 : 0);
	}
}
